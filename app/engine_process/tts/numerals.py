"""English number words: for figures, so that every voice reads them alike."""

import itertools

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split()
)
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ("", " thousand", " million", " billion", " trillion", " quadrillion")
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
QUALIFIERS = "square cubic US Canadian Australian New Hong Singapore Swiss".split()  # before the noun itself
UNCHANGED = ("hertz", "yen", "yuan", "rand", "won", "percent", "baht", "Celsius", "Fahrenheit", "kelvin")
IRREGULAR = {"foot": "feet", "inch": "inches", "penny": "pence"}
LONGEST = 3 * len(SCALES)  # digits; a longer number is read digit by digit
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def cardinal(number: int) -> str:
    """Three hundred forty-two, as in America without "and"; below 10^18."""
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{ONES[number // 100]} hundred" + (f" {cardinal(number % 100)}" if number % 100 else "")
    groups = []
    for scale in SCALES:
        number, group = divmod(number, 1000)
        if group:
            groups.append(cardinal(group) + scale)
    return " ".join(reversed(groups))


def ordinal(number: int) -> str:
    """Three hundred forty-second."""
    words = cardinal(number)
    last = words.replace("-", " ").split()[-1]
    ranked = ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return words.removesuffix(last) + ranked


def digits(figures: str) -> str:
    """Each digit by itself; other characters are left out."""
    return " ".join(ONES[int(figure)] for figure in figures if figure.isdecimal())


def number(figures: str) -> str:
    """What "1,250.50", ".5" or "-3" is called; "007" digit by digit, because it is a name."""
    sign, figures = ("minus ", figures[1:]) if figures[0] in "-−" else ("", figures)
    whole, point, fraction = figures.replace(",", "").partition(".")
    named = (len(whole) > 1 and whole[0] == "0") or len(whole) > LONGEST
    words = digits(whole) if named else cardinal(int(whole or "0"))
    return sign + words + (f" point {digits(fraction)}" if point else "")


def year(number: int) -> str:
    """Nineteen oh five, two thousand five, twenty twenty-six; from 1000 to 9999."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def roman(numeral: str) -> int:
    """The value of a Roman numeral."""
    values = [ROMAN[letter] for letter in numeral]
    pairs = itertools.pairwise([*values, 0])
    return sum(-value if value < following else value for value, following in pairs)


def plural(noun: str) -> str:
    """Several of what *noun* is one of."""
    first, space, rest = noun.partition(" ")
    if space and first in QUALIFIERS:
        return f"{first} {plural(rest)}"
    if space and rest.startswith(("per ", "of ", "Celsius", "Fahrenheit")):
        return f"{plural(first)} {rest}"
    return noun if noun.endswith(UNCHANGED) else IRREGULAR.get(noun) or f"{noun}s"
