import numpy as np
import pytest

from app.engine_process.stt import vad
from app.engine_process.stt.decode import decode
from tests import recordings


@pytest.fixture(scope="module")
def network():
    return vad.load()


@pytest.fixture(scope="module")
def speech():
    return np.concatenate(list(decode(str(recordings.AUSTEN.path), 60)))


def test_probabilities_are_those_of_onnxruntime(network, speech):
    from faster_whisper.vad import get_vad_model

    padded = np.pad(speech, (0, 512 - len(speech) % 512)).astype(np.float32) / 32768
    detector = vad.SpeechDetector(network)
    detector.level = lambda chunks: chunks
    ours = np.array(detector.hear(speech) + detector.finish())
    assert np.abs(ours - get_vad_model()(padded)).max() < 1e-4


def test_the_size_of_the_pieces_does_not_matter(network, speech):
    whole, pieces = vad.SpeechDetector(network), vad.SpeechDetector(network)
    in_pieces = [chance for at in range(0, len(speech), 777) for chance in pieces.hear(speech[at : at + 777])]
    assert np.allclose(in_pieces, whole.hear(speech), atol=1e-5)


def test_less_than_a_chunk_is_heard_at_the_end(network):
    detector = vad.SpeechDetector(network)
    assert detector.hear(np.zeros(100, np.int16)) == []
    assert len(detector.finish()) == 1


def test_silence_ends_without_another_verdict(network):
    detector = vad.SpeechDetector(network)
    assert len(detector.hear(np.zeros(1024, np.int16))) == 2
    assert detector.finish() == []


def test_what_is_no_protocol_buffer_is_told(network):
    with pytest.raises((ValueError, IndexError)):
        list(vad.initializers(b"\xff\xff"))
