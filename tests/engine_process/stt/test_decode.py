import av
import numpy as np
import pytest

from app.engine import protocol
from app.engine_process.stt.clock import Clock
from app.engine_process.stt.decode import decode
from tests import recordings
from tests.recordings import AUSTEN_SHORT, NEURAL, Track, muxed

MINUTE = 60.0


def decoded(tmp_path, content: bytes, max_seconds: float = MINUTE, track: int | None = None):
    path = tmp_path / "upload"
    path.write_bytes(content)
    return np.concatenate(list(decode(str(path), max_seconds, track=track)))


def seconds_of(samples) -> float:
    return len(samples) / 16_000


def samples_of(clip):
    return np.concatenate(list(decode(str(clip.path), MINUTE)))


@pytest.mark.parametrize("container", recordings.CONTAINERS)
def test_what_browsers_and_phones_record_is_decoded_whole(tmp_path, container):
    samples = decoded(tmp_path, recordings.recorded_as(container))
    # encoders add silence before and after: up to 0.15 s here
    assert len(samples) / 16000 == pytest.approx(recordings.AUSTEN_SHORT.seconds, abs=0.15)
    assert np.abs(samples).max() > 3000


@pytest.mark.parametrize("name", recordings.NOT_RECORDINGS)
def test_what_is_no_recording_is_refused_with_what_is_accepted(tmp_path, name):
    with pytest.raises(protocol.Refused) as refusal:
        decoded(tmp_path, recordings.NOT_RECORDINGS[name]())
    assert refusal.value.code == "invalid_audio"
    assert refusal.value.param == "file"
    assert "wav, mp3, mp4" in refusal.value.message


@pytest.mark.parametrize("name", recordings.BROKEN_OFF)
def test_the_part_that_arrived_of_a_broken_upload_is_decoded(tmp_path, name):
    samples = decoded(tmp_path, recordings.BROKEN_OFF[name]())
    assert 3 < len(samples) / 16000 < recordings.AUSTEN.seconds


def test_a_video_is_heard_without_being_watched(tmp_path):
    assert len(decoded(tmp_path, recordings.video(sound=True))) > 3 * 16000


def test_a_small_file_that_decodes_to_hours_is_stopped_at_the_limit(tmp_path):
    with pytest.raises(protocol.Refused) as refusal:
        decoded(tmp_path, recordings.hours_of_silence(1), max_seconds=2 * MINUTE)
    assert refusal.value.code == "audio_too_long"
    assert "2 minutes" in refusal.value.message


def test_corrupt_packets_are_left_out(tmp_path):
    """Every hundredth byte of an MP3 is wrong: some frames are lost, the others are heard."""
    content = bytearray(recordings.recorded_as("mp3", recordings.AUSTEN))
    content[2000::1000] = bytes(len(content[2000::1000]))
    assert len(decoded(tmp_path, bytes(content))) > 5 * 16000


@pytest.mark.parametrize("rate", [1, 999, 400_000])
def test_a_rate_nobody_records_at_is_refused(tmp_path, rate):
    with pytest.raises(protocol.Refused) as refusal:
        decoded(tmp_path, recordings.wav(np.ones(8000, np.int16), rate))
    assert "Hz" in refusal.value.message


def test_a_change_of_rate_in_mid_stream_is_followed(tmp_path):
    """Two MP3s joined at their ends, as a player joins them."""
    joined = recordings.recorded_as("mp3") + mp3_at(16_000)
    assert len(decoded(tmp_path, joined)) / 16000 == pytest.approx(
        2 * recordings.AUSTEN_SHORT.seconds, abs=0.3
    )


def mp3_at(rate: int) -> bytes:
    live = recordings.Live()
    with av.open(recordings.AUSTEN_SHORT.path) as source, av.open(live, "w", "mp3") as output:
        recordings.encode(source, output, output.add_stream("libmp3lame", rate, layout="mono"))
    return b"".join(live.parts)


def test_samples_are_those_of_the_stock_decoder(tmp_path):
    from faster_whisper.audio import decode_audio

    content = recordings.recorded_as("wav_stereo_48k", recordings.AUSTEN)
    samples = decoded(tmp_path, content)
    stock = decode_audio(str(tmp_path / "upload"))
    assert np.array_equal(samples, (stock * 32768).astype(np.int16))


@pytest.mark.parametrize("container", recordings.CONTAINERS)
def test_decoding_may_begin_at_any_packet(tmp_path, container):
    """What comes a second after it is heard at its place, within the few milliseconds resamplers hold back."""
    path = tmp_path / "upload"
    path.write_bytes(recordings.recorded_as(container, recordings.AUSTEN))
    clock = Clock()
    whole = np.concatenate(list(decode(str(path), MINUTE, clock=clock))).astype(float)
    start = next(mark for mark in clock.marks if mark.sample > 5 * 16000)
    part = np.concatenate(list(decode(str(path), MINUTE, start=start))).astype(float)
    second = part[16000:32000]

    def difference(lag):
        begin = start.sample + 16000 + lag
        return np.abs(whole[begin : begin + 16000] - second).mean()

    assert min(difference(lag) for lag in range(160)) < 0.15 * np.abs(second).mean()
    assert len(part) == pytest.approx(len(whole) - start.sample, abs=160)


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"),
    [
        ("asf", "wmav1", 44_100),
        ("asf", "wmav2", 44_100),
        ("avi", "libmp3lame", 44_100),
        ("avi", "pcm_s16le", 16_000),
        ("mpegts", "aac", 44_100),
        ("au", "pcm_s16be", 16_000),
        ("au", "pcm_mulaw", 8_000),
        ("mp4", "ac3", 48_000),
        ("matroska", "eac3", 48_000),
    ],
)
def test_what_films_and_old_recorders_have_is_decoded(tmp_path, muxer, codec, rate):
    samples = decoded(tmp_path, muxed(muxer, Track([(0, samples_of(AUSTEN_SHORT))], codec, rate)))
    assert seconds_of(samples) == pytest.approx(AUSTEN_SHORT.seconds, abs=0.15)
    assert np.abs(samples).max() > 3000


@pytest.mark.parametrize("muxer", ["matroska", "mp4"])
@pytest.mark.parametrize("silent_is_default", [True, False])
@pytest.mark.parametrize("silent_first", [True, False])
def test_a_track_with_sound_is_taken_before_a_silent_one(tmp_path, muxer, silent_is_default, silent_first):
    silent = Track([(0, np.zeros(16_000, np.int16))], "aac", 16_000, default=silent_is_default)
    speaking = Track([(0, samples_of(AUSTEN_SHORT))], "aac", 16_000, default=not silent_is_default)
    tracks = (silent, speaking) if silent_first else (speaking, silent)
    samples = decoded(tmp_path, muxed(muxer, *tracks))
    assert seconds_of(samples) == pytest.approx(AUSTEN_SHORT.seconds, abs=0.15)


def two_tracks(codec: str, *, default: int) -> bytes:
    """A sentence in *codec*, and another in AAC."""
    return muxed(
        "matroska",
        Track([(0, samples_of(AUSTEN_SHORT))], codec, 48_000, default=default == 0),
        Track([(0, samples_of(NEURAL))], "aac", 48_000, default=default == 1),
    )


@pytest.mark.parametrize(
    ("codec", "default", "asked", "clip"),
    [
        ("ac3", 0, None, AUSTEN_SHORT),
        ("ac3", 1, None, NEURAL),  # the default one first
        ("wavpack", 0, None, NEURAL),  # the first that can be decoded
        ("ac3", 1, 0, AUSTEN_SHORT),
        ("ac3", 0, 1, NEURAL),
    ],
)
def test_the_track_that_is_asked_for_or_else_the_likeliest_is_decoded(tmp_path, codec, default, asked, clip):
    samples = decoded(tmp_path, two_tracks(codec, default=default), track=asked)
    assert seconds_of(samples) == pytest.approx(clip.seconds, abs=0.15)


@pytest.mark.parametrize(("asked", "param", "says"), [(0, "file", "wavpack"), (2, "audio_track", "has 2")])
def test_a_track_that_can_not_be_had_is_refused(tmp_path, asked, param, says):
    with pytest.raises(protocol.Refused) as refusal:
        decoded(tmp_path, two_tracks("wavpack", default=0), track=asked)
    assert refusal.value.param == param
    assert says in refusal.value.message


@pytest.mark.parametrize(("muxer", "codec"), [("wv", "wavpack"), ("tta", "tta"), ("wav", "g722")])
def test_a_codec_that_is_not_decoded_is_not_said_to_be_no_audio(tmp_path, muxer, codec):
    with pytest.raises(protocol.Refused) as refusal:
        decoded(tmp_path, muxed(muxer, Track([(0, samples_of(AUSTEN_SHORT))], codec, 16_000)))
    assert "not audio" not in refusal.value.message


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"),
    [("flac", "flac", 16_000), ("ogg", "libopus", 48_000), ("wav", "pcm_u8", 16_000), ("mp4", "aac", 44_100)],
)
@pytest.mark.parametrize("scale", [-1.0, -0.9, -0.5])
def test_opposite_channels_are_heard(tmp_path, muxer, codec, rate, scale):
    """Their mean would be silent, or next to it."""
    speech = samples_of(AUSTEN_SHORT)
    silence = np.zeros(16_000, np.int16)
    left = np.concatenate([silence, speech])
    stereo = np.stack([left, (left * scale).astype(np.int16)])
    samples = decoded(tmp_path, muxed(muxer, Track([(0, stereo)], codec, rate, "stereo")))
    assert np.abs(samples).max() > 0.8 * np.abs(speech).max()


def test_two_who_speak_on_a_channel_each_are_both_heard(tmp_path):
    first, second = samples_of(AUSTEN_SHORT), samples_of(NEURAL)
    stereo = np.zeros((2, len(first) + len(second)), np.int16)
    stereo[0, : len(first)], stereo[1, len(first) :] = first, second
    samples = decoded(tmp_path, muxed("flac", Track([(0, stereo)], "flac", 16_000, "stereo")))
    for heard, said in ((samples[: len(first)], first), (samples[len(first) :], second)):
        assert np.abs(heard).max() > 0.4 * np.abs(said).max()


@pytest.mark.parametrize(
    "kinds",
    [
        (("flac", 44_100, "mono"), ("flac", 16_000, "mono")),
        (("flac", 16_000, "stereo"), ("libopus", 48_000, "mono")),
        (("libopus", 48_000, "mono"), ("libopus", 48_000, "stereo"), ("flac", 22_050, "mono")),
    ],
)
def test_ogg_streams_one_after_the_other_are_decoded_to_the_last(tmp_path, kinds):
    """An Ogg file may go on with another rate, layout or codec."""
    chain = b"".join(muxed("ogg", Track([(0, samples_of(AUSTEN_SHORT))], *kind)) for kind in kinds)
    path = tmp_path / "upload"
    path.write_bytes(chain)
    clock = Clock()
    whole = np.concatenate(list(decode(str(path), MINUTE, clock=clock)))
    assert seconds_of(whole) == pytest.approx(len(kinds) * AUSTEN_SHORT.seconds, abs=0.2)
    start = next(mark for mark in clock.marks if mark.sample > 16_000 * (AUSTEN_SHORT.seconds + 1))
    part = np.concatenate(list(decode(str(path), MINUTE, start=start)))
    assert len(part) == pytest.approx(len(whole) - start.sample, abs=400)


def test_what_comes_behind_an_ogg_stream_may_be_anything(tmp_path):
    stream = muxed("ogg", Track([(0, samples_of(AUSTEN_SHORT))]))
    for behind in (stream[:60], stream[:4] + bytes([0, 2]) + bytes(500), b"OggS\0\2" * 500):
        samples = decoded(tmp_path, stream + behind)
        assert seconds_of(samples) == pytest.approx(AUSTEN_SHORT.seconds, abs=0.15)
