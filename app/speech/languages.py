"""Language tags, and what Google Translate's voice speaks; a table, because asking gTTS would import it."""

import re

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

# Other tags for the same language (IANA's language subtag registry): what people write, what voices have.
ALSO = {"he": "iw", "iw": "he", "jv": "jw", "fil": "tl", "nb": "no", "no": "nb", "cmn": "zh", "zh": "cmn"}

TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*")


def normal(tag: str) -> str:
    """*tag* in lower case with hyphens, as tags are compared; ValueError when it can't be one."""
    written = tag.strip().lower().replace("_", "-")
    if not TAG.fullmatch(written):
        raise ValueError(f"{tag!r} is not a language tag")
    return written


def fitting(tag: str) -> list[str]:
    """Tags a voice for *tag* may have, best first: itself, without its region, other names of it."""
    exact, base = normal(tag), normal(tag).split("-")[0]
    return [one for one in dict.fromkeys((exact, base, ALSO.get(exact), ALSO.get(base))) if one]


def same(one: str, other: str) -> bool:
    """Whether two tags name one language, whatever the region."""
    bases = {tag.split("-")[0] for tag in fitting(one)}
    return normal(other).split("-")[0] in bases
