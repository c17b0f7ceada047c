import pytest
from gtts.lang import tts_langs

from app.engine.scripts import count
from app.speech import languages
from tests.phonemes import Phonemes


def test_the_table_is_what_gtts_speaks():
    assert tts_langs() == languages.GTTS


@pytest.mark.parametrize(
    ("tag", "fitting"),
    [
        ("de", ["de"]),
        ("pt_BR", ["pt-br", "pt"]),
        ("he", ["he", "iw"]),
        ("zh-TW", ["zh-tw", "zh", "cmn"]),
        (" EN-us ", ["en-us", "en"]),
    ],
)
def test_a_language_goes_by_several_tags(tag, fitting):
    assert [*languages.fitting(tag)] == fitting


@pytest.mark.parametrize("tag", ["", "e", "german!", "en--us", "../en", "en us"])
def test_what_is_not_a_tag_is_refused(tag):
    with pytest.raises(ValueError, match="not a language tag"):
        languages.normal(tag)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("en-US", "en-gb", True), ("iw", "he", True), ("cmn", "zh-CN", True), ("en", "de", False)],
)
def test_regions_do_not_make_another_language(one, other, same):
    assert languages.same(one, other) is same


# "hello", or a word like it; of each language that is not written in Latin letters.
GREETINGS = {
    "ru": "Привет мир", "uk": "Привіт", "be": "Прывітанне", "bg": "Здравей", "mk": "Здраво", "sr": "Здраво",
    "kk": "Сәлем", "ky": "Салам", "tt": "Сәлам", "ba": "Һаумыһығыҙ", "cv": "Салам", "nog": "Салам", "uz": "Салом",
    "el": "Γειά σου", "grc": "λόγος", "he": "שלום", "ar": "مرحبا", "fa": "سلام", "ur": "ہیلو", "ug": "ياخشىمۇسىز",
    "sd": "هيلو", "hi": "नमस्ते", "mr": "नमस्कार", "ne": "नमस्ते", "kok": "नमस्कार", "bn": "হ্যালো", "as": "নমস্কাৰ",
    "bpy": "নমস্কার", "pa": "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ", "gu": "નમસ્તે", "or": "ନମସ୍କାର", "ta": "வணக்கம்", "te": "నమస్కారం",
    "kn": "ನಮಸ್ಕಾರ", "ml": "നമസ്കാരം", "si": "ආයුබෝවන්", "th": "สวัสดี", "my": "မင်္ဂလာပါ", "shn": "မႂ်ႇသုင်",
    "ka": "გამარჯობა", "hy": "Բարեւ", "hyw": "Բարեւ", "am": "ሰላም", "ti": "ሰላም", "ko": "안녕하세요",
    "ja": "こんにちは カタカナ", "cmn": "你好世界", "yue": "你好世界",
}  # fmt: skip


@pytest.mark.parametrize("language", GREETINGS)
def test_espeak_reads_the_scripts_it_is_said_to_read(language):
    """A letter it does not know is named in English: "(en)tS'aIni:z(ja)l'et@"."""
    assert languages.scripts(language) >= set(count(GREETINGS[language]))
    said = Phonemes().of(GREETINGS[language], language)
    assert said.strip()
    assert "(en)" not in said


@pytest.mark.parametrize("language", ["ru", "el", "he", "ar", "hi", "th", "ko", "cmn", "ka", "ta"])
def test_espeak_reads_latin_words_among_other_letters_as_english(language):
    assert "(en)h@l'oU" in Phonemes().of(GREETINGS[language] + " hello", language)
