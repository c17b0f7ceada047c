"""Every format, read again with a real decoder."""

import io
import math
from array import array

import av
import pytest

from app.engine_process.tts.speech import encoder
from app.speech.formats import AUDIO

FRAME = {"mp3": 1152, "opus": 960, "aac": 1024, "flac": 1, "wav": 1}  # samples one frame holds at most


def tone(samples: int, rate: int) -> bytes:
    return array("h", (int(9000 * math.sin(math.tau * 440 * i / rate)) for i in range(samples))).tobytes()


def encoded(format: str, rate: int, pcm: bytes, *, tempo: float = 1.0) -> tuple[bytes, bytes, object]:
    """The file as it is streamed, as it is stored, and its encoder."""
    file = encoder(AUDIO[format]._asdict(), rate, tempo=tempo)
    half = len(pcm) // 4 * 2
    streamed = file.feed(pcm[:half]) + file.feed(pcm[half:]) + file.finish()
    stored = bytearray(streamed)
    for offset, written in file.patches:
        stored[offset : offset + len(written)] = written
    return streamed, bytes(stored), file


def decoded(data: bytes) -> tuple[list[float], int, int]:
    """Samples of mean amplitude by frame, how many samples there are, and their rate."""
    loudness, samples, rate = [], 0, 0
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            values = frame.to_ndarray().astype(float)
            loudness.append(float(abs(values).mean()))
            samples, rate = samples + frame.samples, frame.sample_rate
            assert frame.layout.nb_channels == 1
    return loudness, samples, rate


@pytest.mark.parametrize("rate", [22050, 24000])
@pytest.mark.parametrize("samples", [30011, 48123, 23041])
@pytest.mark.parametrize("format", FRAME)
def test_what_is_decoded_is_as_long_as_what_was_spoken(format, samples, rate):
    streamed, stored, file = encoded(format, rate, tone(samples, rate))
    assert abs(file.samples / file.sample_rate - samples / rate) < 0.001
    for data in (streamed, stored):
        loudness, found, at = decoded(data)
        expected = file.samples * at / file.sample_rate
        assert -2 <= found - expected < FRAME[format] + 2
        assert sum(loudness) > 0


@pytest.mark.parametrize("format", ["mp3", "flac", "wav"])
def test_a_stored_file_says_how_long_it_is(format):
    _, stored, file = encoded(format, 24000, tone(48123, 24000))
    with av.open(io.BytesIO(stored)) as container:
        seconds = container.duration / av.time_base
    assert abs(seconds - file.samples / file.sample_rate) < 0.05
    assert abs(decoded(stored)[1] - 48123) <= 47


def test_pcm_is_24_khz_whatever_the_voice_speaks_at():
    raw, _, file = encoded("pcm", 22050, tone(22050, 22050))
    assert file.sample_rate == 24000
    assert abs(len(raw) // 2 - 24000) <= 2
    assert encoded("pcm", 24000, tone(2400, 24000))[0] == tone(2400, 24000)


@pytest.mark.parametrize("tempo", [0.25, 0.6, 3.0])
@pytest.mark.parametrize("format", ["wav", "opus", "pcm"])
def test_time_is_stretched(format, tempo):
    _, _, file = encoded(format, 24000, tone(48000, 24000), tempo=tempo)
    assert file.samples / file.sample_rate == pytest.approx(2.0 / tempo, abs=0.1)


@pytest.mark.parametrize("format", AUDIO)
def test_nothing_in_is_no_error(format):
    file = encoder(AUDIO[format]._asdict(), 22050)
    assert file.finish() is not None
    assert file.samples == 0
