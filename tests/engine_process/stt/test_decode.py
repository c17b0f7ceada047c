import av
import numpy as np
import pytest

from app.engine import protocol
from app.engine_process.stt.decode import decode
from tests import recordings

MINUTE = 60.0


def decoded(tmp_path, content: bytes, max_seconds: float = MINUTE):
    path = tmp_path / "upload"
    path.write_bytes(content)
    return np.concatenate(list(decode(str(path), max_seconds)))


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
    marks = []
    whole = np.concatenate(list(decode(str(path), MINUTE, note=marks.append))).astype(float)
    start = next(mark for mark in marks if mark.sample > 5 * 16000)
    part = np.concatenate(list(decode(str(path), MINUTE, start=start))).astype(float)
    second = part[16000:32000]

    def difference(lag):
        begin = start.sample + 16000 + lag
        return np.abs(whole[begin : begin + 16000] - second).mean()

    assert min(difference(lag) for lag in range(160)) < 0.15 * np.abs(second).mean()
    assert len(part) == pytest.approx(len(whole) - start.sample, abs=160)
