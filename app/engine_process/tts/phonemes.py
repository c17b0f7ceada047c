"""
What Kokoro reads: phonemes in its own alphabet, in pieces that end where a speaker would breathe.

espeak-ng says how a text is pronounced, in French with fewer liaisons than it makes by itself; its IPA becomes the
alphabet Kokoro was trained with as misaki 0.9.4 has it (misaki/espeak.py, Apache-2.0: EspeakFallback for English,
EspeakG2P for the others).
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from .espeak import Espeak
from .text import sentences, shortened

PIECE_LIMIT = 40  # phonemes with stress marks and spaces, 3 s: 245 MB at the peak; 390 with 200, 625 with 400
SENTENCE_LIMIT = 400  # characters that are looked at together
CUT = ","  # ends a piece within a clause: the voice stays up, and most of its pause is left out

# espeak-ng's voice for each language.
READERS = {
    "en-us": "en-us", "en-gb": "en", "es": "es", "fr": "fr", "hi": "hi", "it": "it", "pt-br": "pt-br",
}  # fmt: skip
# The number of each sign, from Kokoro-82M v1.0's config.json; a row begins with the number of its first sign.
ALPHABET = {
    sign: first + place
    for first, row in (
        (1, ";:,.!?"), (9, '—…"()“” \u0303ʣʥʦʨᵝꭧAI'), (31, "O"), (33, "Q"), (35, "ST"), (39, "W"), (41, "Yᵊabcdef"),
        (50, "hijklmnopqrstuvwxyzɑɐɒæ"), (75, "βɔɕç"), (80, "ɖðʤə"), (85, "ɚɛɜ"), (90, "ɟ"), (92, "ɡ"), (99, "ɥ"),
        (101, "ɨɪʝ"), (110, "ɯɰŋɳɲɴø"), (118, "ɸθœ"), (123, "ɹ"), (125, "ɾɻ"), (128, "ʁɽʂʃʈʧ"), (135, "ʊʋ"),
        (138, "ʌɣɤ"), (142, "χʎ"), (147, "ʒʔ"), (156, "ˈˌː"), (162, "ʰ"), (164, "ʲ"), (169, "↓"), (171, "→↗↘"),
        (177, "ᵻ"),
    )
    for place, sign in enumerate(row)
}  # fmt: skip
# In order, longer ones first.
ENGLISH = (
    ("ʔˌn\u0329", "ʔn"), ("ʔn\u0329", "ʔn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"), ("ə^l", "ᵊl"), ("ʲo", "jo"), ("ʲə", "jə"), ("e", "A"), ("ʲ", ""), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"),
    ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("\u0303", ""),
)  # fmt: skip
BRITISH = (("e^ə", "ɛː"), ("iə", "ɪə"), ("ə^ʊ", "Q"))
AMERICAN = (("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""))
EITHER = (("o", "ɔ"), ("ɾ", "T"), ("ʔ", "t"))
OTHERS = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("s^s", "S"), ("t^s", "ʦ"),
    ("t^ʃ", "ʧ"), ("ə^ʊ", "Q"), ("ɔ^ɪ", "Y"), ("-", ""),
)  # fmt: skip
SYLLABIC = re.compile("(\\S)\u0329")

# Words a speaker may breathe before, and more that nobody breathes after.
BREATH = {
    "en": "and or but nor so yet because that which who whom whose when where while if although though as than after "
    "before until since with without from into by for to of at in on about over under through between against",
    "es": "y e o u pero porque que cuando donde si como aunque mientras con sin de del desde en a al para por sobre "
    "entre hasta hacia según",
    "fr": "et ou mais donc car que qui quand où si comme avec sans de du des dans en à au aux pour par sur entre chez "
    "vers depuis pendant puisque lorsque",
    "hi": "और या लेकिन कि जो जब जहाँ तो क्योंकि",
    "it": "e ed o ma che chi quando dove se come perché con senza di del della dei delle da dal dalla in nel nella a "
    "al alla per su sul tra fra mentre",
    "pt": "e ou mas que quem quando onde se como porque com sem de do da dos das em no na nos nas a ao à para por "
    "pelo pela sobre entre até desde enquanto",
}
ARTICLES = {
    "en": "a an the my your his her its our their this these those not is was are were be very",
    "es": "el la los las un una unos unas mi tu su sus este esta no muy se lo",
    "fr": "le la les un une mon ma mes son sa ses ce cette ces ne pas très se il elle je",
    "hi": "एक यह वह",
    "it": "il lo la i gli le un uno una mio sua suo questo questa non molto si",
    "pt": "o os as um uma meu minha seu sua este esta não muito se",
}

# French words after which a silent consonant is said before a vowel. espeak-ng says it after nouns and verbs, too
# ("le pont-t a", "les arbres-z au"), where speakers don't.
LIAISONS = frozenset(
    "les des aux ces mes tes ses nos vos leurs nous vous ils elles est sont ont était suis avons avez deux trois six "
    "dix vingt cent cents quelques plusieurs quels quelles certains certaines autres mêmes tout chaque dans sans sous "
    "chez dès pas plus moins très trop mieux assez quand dont comment pendant et petit petits petites grand grands "
    "grandes gros bons bonnes beaux belles nouveaux nouvelles vieux vieilles mauvais anciens jeunes premiers "
    "dernières".split()
)
LIAISON = re.compile(r"[sxztd] [aeiouyhàâéèêëîïôûœæ]")

DROPPED = re.compile(r"[\"“”„«»¡¿‹›]|(?<!\w)['’‘]|['’‘](?!\w)")
BRACKET = re.compile(r"[()\[\]{}]")
# A full stop within a sentence is an abbreviation's; a comma between digits is a number's.
MARKS = re.compile(r"((?:[,;:!?…—–।]|\.\.+|\.(?=\W*$))+)(?=\s|$)")
SAME = {"–": "—", "।": "."}
STRENGTH = ",—:;….!?"  # of marks that stand together the strongest is read


class Piece(NamedTuple):
    """What is spoken at once: its words, how they are said, and the mark that ends it."""

    words: list[str]
    phonemes: str
    mark: str
    is_cut: bool = False  # within a clause: the mark is no pause

    @property
    def tokens(self) -> list[int]:
        """The numbers of the phonemes and of the mark."""
        return [ALPHABET[sign] for sign in self.phonemes + self.mark]


def pieces(
    text: str, language: str, espeak: Espeak, *, limit: int = PIECE_LIMIT, final_pause: bool = True
) -> Iterator[Piece]:
    """*text* in pieces of at most *limit* phonemes; without *final_pause* another voice finishes the last sentence."""
    spoken = list(sentences(text, SENTENCE_LIMIT))
    for number, sentence in enumerate(spoken, 1):
        waiting: Piece | None = None
        for words, mark in clauses(sentence, "." if final_pause or number < len(spoken) else ""):
            for piece in split(words, mark, language.lower(), espeak, limit):
                joined = join(waiting, piece, limit) if waiting else None
                if waiting and not joined:
                    yield waiting
                waiting = joined or piece
        if waiting:
            yield waiting


def clauses(sentence: str, end: str) -> list[tuple[list[str], str]]:
    """The words of each clause and the mark after it; *end* where the last has none."""
    text = BRACKET.sub(" , ", DROPPED.sub("", sentence)).replace(" - ", " — ")
    parts = MARKS.split(text)
    found: list[tuple[list[str], str]] = []
    for part, marks in zip(parts[::2], [*parts[1::2], ""], strict=True):
        words = [word for word in part.split() if any(map(str.isalnum, word))]
        if not words and found:  # marks that stand together, as after a bracket
            words, before = found.pop()
            marks = before + marks
        if words:
            found.append((words, marks))
    last = len(found) - 1
    return [
        (words, strongest(marks) or (end if number == last else ","))
        for number, (words, marks) in enumerate(found)
    ]


def strongest(marks: str) -> str:
    """The one of *marks* that is read; none of none."""
    return max((SAME.get(mark, mark) for mark in marks if not mark.isspace()), key=STRENGTH.index, default="")


def split(words: list[str], mark: str, language: str, espeak: Espeak, limit: int) -> Iterator[Piece]:
    """*words* of one clause in pieces of at most *limit* phonemes, cut where one would breathe."""
    text = " ".join(without_liaisons(words) if language == "fr" else words)
    said = translate(espeak.phonemes(text, READERS[language]), language)
    if not said:
        return
    parts = -(-(len(said) + 1) // limit)
    if parts == 1:
        yield Piece(words, said, mark)
    elif len(words) > 1:
        at = best_cut(words, 1 / parts, language.partition("-")[0])
        for piece in split(words[:at], CUT, language, espeak, limit):
            yield piece._replace(is_cut=True)
        yield from split(words[at:], mark, language, espeak, limit)
    else:  # one word: a long number, or none at all
        *before, last = shortened(said, limit - 1)
        for part in before:
            yield Piece(words, part, CUT, is_cut=True)
            words = []
        yield Piece(words, last, mark)


def join(first: Piece, second: Piece, limit: int) -> Piece | None:
    """Both clauses as one piece; None where that is too long, or *first* was cut from what comes."""
    phonemes = f"{first.phonemes}{first.mark} {second.phonemes}"
    if first.is_cut or len(phonemes) + len(second.mark) > limit:
        return None
    return second._replace(words=first.words + second.words, phonemes=phonemes)


def without_liaisons(words: list[str]) -> Iterator[str]:
    """French *words*, with a comma after those that are not linked to a vowel that follows."""
    for word, following in itertools.pairwise([*words, ""]):
        bare = re.split("['’]", word.lower())[-1]
        linked = bare in LIAISONS or not LIAISON.match(f"{bare[-1:]} {following.lower()}")
        yield word if linked else f"{word},"


def best_cut(words: list[str], share: float, language: str) -> int:
    """How many of *words* come before the best place to cut, near *share* of them."""
    before = frozenset(BREATH[language].split())
    bound = before | frozenset(ARTICLES[language].split())
    total = sum(map(len, words))

    def rank(at: int) -> float:
        off = abs(sum(map(len, words[:at])) / total - share) / share
        return off - 0.5 * (words[at].lower() in before) + (words[at - 1].lower() in bound)

    return min(range(1, len(words)), key=rank)


def translate(ipa: str, language: str) -> str:
    """espeak-ng's IPA in Kokoro's alphabet; what that has no sign for is left out."""
    own = BRITISH if language == "en-gb" else AMERICAN
    for table in (ENGLISH, own, EITHER) if language[:2] == "en" else (OTHERS,):
        for written, sign in table:
            ipa = ipa.replace(written, sign)
        if table is ENGLISH:
            ipa = SYLLABIC.sub(r"ᵊ\1", ipa)
    return " ".join("".join(sign for sign in ipa if sign in ALPHABET).split())
