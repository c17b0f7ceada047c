"""Times of recordings whose sound begins late, has gaps, or claims to."""

import numpy as np
import pytest

from app.engine_process.stt.clock import BEGINNING, Clock, Mark
from app.engine_process.stt.decode import decode
from tests.recordings import AUSTEN_SHORT, NEURAL, Track, muxed

SPEECH, MORE = (np.concatenate(list(decode(str(clip.path), 60))) for clip in (AUSTEN_SHORT, NEURAL))
KINDS = [
    ("mp4", "aac", 16_000),
    ("webm", "libopus", 48_000),
    ("matroska", "ac3", 48_000),
    ("mpegts", "mp2", 16_000),
]
SECONDS = AUSTEN_SHORT.seconds
HOURS = 100 * 3600.0


@pytest.fixture
def clock_of(tmp_path):
    def clock_of(content: bytes) -> tuple[Clock, float]:
        """The clock of a recording that has been decoded, and how many seconds of samples it had."""
        path, clock = tmp_path / "upload", Clock()
        path.write_bytes(content)
        return clock, sum(map(len, decode(str(path), 60, clock=clock))) / 16_000

    return clock_of


@pytest.mark.parametrize(("muxer", "codec", "rate"), KINDS)
def test_sound_that_begins_after_the_picture_is_heard_at_its_time(clock_of, muxer, codec, rate):
    picture = 0 if muxer == "webm" else 9
    clock, decoded = clock_of(muxed(muxer, Track([(4.9, SPEECH)], codec, rate), picture_seconds=picture))
    assert decoded == pytest.approx(SECONDS, abs=0.15)
    assert clock.span(1, 2) == pytest.approx((5.9, 6.9), abs=0.15)


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"), [*KINDS, ("ogg", "libopus", 48_000), ("asf", "wmav2", 44_100)]
)
def test_what_comes_after_a_gap_is_heard_at_its_time(clock_of, muxer, codec, rate):
    """And nothing is put into the gap."""
    clock, decoded = clock_of(muxed(muxer, Track([(0, SPEECH), (10, MORE)], codec, rate)))
    assert decoded == pytest.approx(SECONDS + NEURAL.seconds, abs=0.2)
    assert clock.span(1, 2) == (1, 2)
    assert clock.span(SECONDS + 1, SECONDS + 2) == pytest.approx((11, 12), abs=0.2)
    assert clock.span(decoded, decoded)[1] == pytest.approx(10 + NEURAL.seconds, abs=0.2)


@pytest.mark.parametrize(("muxer", "codec", "rate"), KINDS)
@pytest.mark.parametrize("begins", [[HOURS], [0, HOURS], [HOURS, 2 * HOURS]], ids=str)
def test_a_clock_nobody_can_believe_is_not_followed(clock_of, muxer, codec, rate, begins):
    if muxer == "mpegts":
        begins = [begin / 8 for begin in begins]  # its clock begins anew after 26 hours
    pieces = list(zip(begins, (SPEECH, MORE), strict=False))
    clock, decoded = clock_of(muxed(muxer, Track(pieces, codec, rate)))
    assert decoded < 9
    assert clock.span(decoded, decoded)[1] < 24 * 3600
    assert clock.span(0, 1)[0] < 1


class Frame:
    """What a clock reads of a frame: 20 ms."""

    samples, sample_rate = 320, 16_000

    def __init__(self, time):
        self.time = time


def followed(*times):
    clock = Clock()
    clock.align(0.0, None)
    list(clock.follow(Frame(time) for time in times))
    return clock


def test_times_that_run_backwards_are_not_believed():
    clock = followed(*(at * 0.02 for at in range(100)), *(at * 0.02 for at in range(100)))
    assert clock.span(3.0, 3.5) == (3.0, 3.5)


def test_a_leap_that_is_taken_back_was_none():
    clock = followed(*(at * 0.02 for at in range(50)), 500.0, *(at * 0.02 for at in range(51, 100)))
    assert clock.span(1.5, 1.9) == pytest.approx((1.5, 1.9), abs=0.1)


def test_times_that_are_missing_or_tremble_change_nothing():
    clock = followed(*(None if at % 3 else at * 0.02 + (at % 5) * 0.01 for at in range(100)))
    assert clock.span(1.0, 1.9) == (1.0, 1.9)


def test_a_time_near_a_gap_stays_on_the_side_where_its_segment_is():
    clock = followed(*(at * 0.02 for at in range(100)), *(10 + at * 0.02 for at in range(100)))
    assert clock.span(0.5, 2.3) == pytest.approx((0.5, 2.0))
    assert clock.span(1.8, 3.9) == pytest.approx((10.0, 11.9))
    assert clock.span(0.5, 3.5) == pytest.approx((0.5, 11.5))


def test_a_hostile_clock_is_forgotten_as_it_passes():
    clock = followed(*(at * 1.0 for at in range(10_000)))
    clock.forget(16_000 * 190)
    assert len(clock.shifts) < 1000
    assert clock.span(195, 195)[1] == pytest.approx(195 * 50, rel=0.01)


def test_the_last_mark_a_second_before_is_where_decoding_begins():
    clock = Clock()
    for number in range(1, 1001):
        clock.packet, clock.sample = number, number * 320
        clock.note_packet()
    assert clock.mark_before(8_000) == BEGINNING
    assert clock.mark_before(48_000) == Mark(100, 32_000)
    assert clock.mark_before(48_100) == Mark(100, 32_000)
    assert clock.mark_before(319_000) == Mark(900, 288_000)
    assert len(clock.marks) == 3
