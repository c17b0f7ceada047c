"""Language tags, and the languages that Whisper and Google Translate's voice know; tables, to import neither."""

import re
from functools import lru_cache

# gTTS 2.5.4, gtts.lang.tts_langs(); a test compares them.
GTTS = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "bs": "Bosnian",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fi": "Finnish", "fr": "French",
    "fr-CA": "French (Canada)", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "is": "Icelandic", "it": "Italian",
    "iw": "Hebrew", "ja": "Japanese", "jw": "Javanese", "km": "Khmer", "kn": "Kannada", "ko": "Korean",
    "la": "Latin", "lt": "Lithuanian", "lv": "Latvian", "ml": "Malayalam", "mr": "Marathi", "ms": "Malay",
    "my": "Myanmar (Burmese)", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi (Gurmukhi)",
    "pl": "Polish", "pt": "Portuguese (Brazil)", "pt-PT": "Portuguese (Portugal)", "ro": "Romanian",
    "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sq": "Albanian", "sr": "Serbian", "su": "Sundanese",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Filipino",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "yue": "Cantonese",
    "zh-CN": "Chinese (Simplified)", "zh-TW": "Chinese (Mandarin/Taiwan)", "zh": "Chinese (Mandarin)",
}  # fmt: skip

# OpenAI's whisper/tokenizer.py, LANGUAGES: codes and English names.
WHISPER = {
    "af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani",
    "ba": "bashkir", "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan", "br": "breton",
    "bs": "bosnian", "ca": "catalan", "cs": "czech", "cy": "welsh", "da": "danish", "de": "german",
    "el": "greek", "en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian",
    "fi": "finnish",
    "fo": "faroese", "fr": "french", "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "ht": "haitian creole", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "is": "icelandic", "it": "italian", "ja": "japanese",
    "jw": "javanese", "ka": "georgian", "kk": "kazakh", "km": "khmer", "kn": "kannada", "ko": "korean",
    "la": "latin", "lb": "luxembourgish", "ln": "lingala", "lo": "lao", "lt": "lithuanian", "lv": "latvian",
    "mg": "malagasy", "mi": "maori", "mk": "macedonian", "ml": "malayalam", "mn": "mongolian",
    "mr": "marathi", "ms": "malay", "mt": "maltese", "my": "myanmar", "ne": "nepali", "nl": "dutch",
    "nn": "nynorsk", "no": "norwegian", "oc": "occitan", "pa": "punjabi", "pl": "polish", "ps": "pashto",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sa": "sanskrit", "sd": "sindhi", "si": "sinhala",
    "sk": "slovak", "sl": "slovenian", "sn": "shona", "so": "somali", "sq": "albanian", "sr": "serbian",
    "su": "sundanese", "sv": "swedish", "sw": "swahili", "ta": "tamil", "te": "telugu", "tg": "tajik",
    "th": "thai", "tk": "turkmen", "tl": "tagalog", "tr": "turkish", "tt": "tatar", "uk": "ukrainian",
    "ur": "urdu", "uz": "uzbek", "vi": "vietnamese", "yi": "yiddish", "yo": "yoruba", "yue": "cantonese",
    "zh": "chinese",
}  # fmt: skip

# Other tags for the same language (IANA's language subtag registry): what people write, what voices have.
ALSO = {"he": "iw", "iw": "he", "jv": "jw", "fil": "tl", "nb": "no", "no": "nb", "cmn": "zh", "zh": "cmn"}

# The languages here that are written in another script than Latin; the first is what its letters alone stand for.
WRITTEN_IN = {
    "han": ("zh", "cmn", "yue", "ja"), "kana": ("ja",), "hangul": ("ko",), "greek": ("el", "grc"),
    "cyrillic": ("ru", "uk", "be", "bg", "mk", "sr", "kk", "ky", "tg", "tt", "ba", "cv", "mn", "nog", "uz"),
    "hebrew": ("he", "iw", "yi"), "arabic": ("ar", "fa", "ur", "ug", "ps", "sd"),
    "devanagari": ("hi", "mr", "ne", "kok", "sa"), "bengali": ("bn", "as", "bpy"), "gurmukhi": ("pa",),
    "gujarati": ("gu",), "oriya": ("or",), "tamil": ("ta",), "telugu": ("te",), "kannada": ("kn",),
    "malayalam": ("ml",), "sinhala": ("si",), "thai": ("th",), "lao": ("lo",), "myanmar": ("my", "shn"),
    "khmer": ("km",), "georgian": ("ka",), "armenian": ("hy", "hyw"), "ethiopic": ("am", "ti"),
}  # fmt: skip
# Letters that tell a script's languages apart; the first that is found decides.
TELLING = (
    ("cyrillic", "ўЎ", "be"), ("cyrillic", "їєґіЇЄҐІ", "uk"), ("cyrillic", "ђћљњџЂЋЉЊЏ", "sr"),
    ("cyrillic", "ѓќѕЃЌЅ", "mk"), ("cyrillic", "әғқңұһӘҒҚҢҰҺ", "kk"), ("arabic", "ٹڈڑے", "ur"),
    ("arabic", "پچژگ", "fa"),
)  # fmt: skip

TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*")


@lru_cache(maxsize=256)
def normal(tag: str) -> str:
    """*tag* in lower case with hyphens, as tags are compared; ValueError when it can't be one."""
    written = tag.strip().lower().replace("_", "-")
    if not TAG.fullmatch(written):
        raise ValueError(f"{tag!r} is not a language tag")
    return written


@lru_cache(maxsize=256)
def fitting(tag: str) -> tuple[str, ...]:
    """Tags a voice for *tag* may have, best first: itself, without its region, other names of it."""
    exact, base = normal(tag), normal(tag).split("-")[0]
    return tuple(one for one in dict.fromkeys((exact, base, ALSO.get(exact), ALSO.get(base))) if one)


@lru_cache(maxsize=256)
def scripts(tag: str) -> frozenset[str]:
    """The scripts a voice for *tag* reads: its language's own, and Latin, which all but Japanese voices read."""
    base = normal(tag).split("-")[0]
    return frozenset({script for script, written in WRITTEN_IN.items() if base in written} | {"latin"})


def of_script(script: str, text: str, *, with_kana: bool = False) -> str | None:
    """
    The language that letters of *script* in *text* are probably in; None for a script no synthesizer here speaks.

    Han is Japanese beside kana, and Chinese else.
    """
    if script == "han" and with_kana:
        return "ja"
    for told, letters, language in TELLING:
        if told == script and any(letter in text for letter in letters):
            return language
    return WRITTEN_IN[script][0] if script in WRITTEN_IN else "en" if script == "latin" else None


@lru_cache(maxsize=1024)
def same(one: str, other: str) -> bool:
    """Whether two tags name one language, whatever the region."""
    bases = {tag.split("-")[0] for tag in fitting(one)}
    return normal(other).split("-")[0] in bases


def whisper_code(text: str) -> str:
    """Whisper's code for what people write: "de", "de-AT", "German"; ValueError names all codes."""
    tag = text.strip().lower().replace("_", "-")
    for language, name in WHISPER.items():
        if tag.split("-")[0] == language or tag == name:
            return language
    raise ValueError(f"{text!r} is unknown; accepted are {', '.join(WHISPER)}, and their English names")


def whisper_name(code: str | None) -> str:
    """The lower-case English name of a code; English where the language is not known."""
    return WHISPER.get(code or "en", code or "english")
