import shutil

import pytest

from app.engine import protocol
from app.engine_process.tts.espeak import Espeak
from app.engine_process.tts.synthesizer import SpeechOptions
from app.speech.voices import espeak_voices, find_espeak


@pytest.fixture(scope="module")
def espeak():
    return Espeak([("no-such-library.so", None), *((files.library, files.data) for files in find_espeak())])


def seconds(espeak: Espeak, text: str, **options: object) -> float:
    pieces = espeak.speak(text, SpeechOptions(**{"voice": "en-us", "language": "en", **options}))
    return sum(map(len, pieces)) / 2 / espeak.sample_rate


def test_the_first_library_that_works_is_used(espeak):
    assert espeak.sample_rate == 22050


def test_each_sentence_is_a_piece(espeak):
    pieces = list(espeak.speak("One. Two. Three.", SpeechOptions("en-us", "en")))
    assert len(pieces) == 3
    assert all(any(piece) for piece in pieces)


def test_speed_and_pitch_are_heard(espeak):
    text = "The same words at different speeds."
    assert (
        seconds(espeak, text, speed=0.5) > 1.5 * seconds(espeak, text) > 2 * seconds(espeak, text, speed=2.0)
    )
    low, high = (
        b"".join(espeak.speak(text, SpeechOptions("en-us", "en", pitch=pitch))) for pitch in (0.5, 1.5)
    )
    assert low != high


@pytest.mark.parametrize("text", ["<break time='60s'/>", "[[" + "a:" * 400, "<audio src='/etc/passwd'/>"])
def test_markup_is_read_not_obeyed(espeak, text):
    assert 0 < seconds(espeak, text + " hello") < 60 * 5
    assert seconds(espeak, "<break time='60s'/> hello") < 20


def test_a_voice_nobody_has_is_refused(espeak):
    with pytest.raises(protocol.Refused, match="no voice 'xx'"):
        list(espeak.speak("Hello.", SpeechOptions("xx", "xx")))


def test_every_listed_voice_speaks(espeak):
    for _, voice in espeak_voices(find_espeak()):
        assert seconds(espeak, "1 2", voice=voice.key) > 0.1, voice.id


def test_without_a_library_the_remedy_is_named():
    with pytest.raises(
        protocol.Refused, match="install the system's libespeak-ng1 or the package espeakng-loader"
    ):
        Espeak([("no-such-library.so", None)])


def test_a_library_without_its_data_is_not_used(tmp_path):
    # A copy: the one already loaded has its data.
    library = shutil.copy(find_espeak()[-1].library, tmp_path / "libcopy.so")
    with pytest.raises(protocol.Refused, match="finds no data"):
        Espeak([(str(library), str(tmp_path))])


def test_a_data_directory_far_down_can_be_used(tmp_path):
    """A virtual environment deep in a build machine's tree has one."""
    deep = tmp_path.joinpath(*["a-rather-long-name-for-a-directory"] * 6)
    deep.mkdir(parents=True)
    files = find_espeak()[-1]
    (deep / "espeak-ng-data").symlink_to(files.data)
    library = shutil.copy(files.library, tmp_path / "libcopy.so")
    espeak = Espeak([(str(library), str(deep / "espeak-ng-data"))])
    assert seconds(espeak, "Hello.") > 0.3
