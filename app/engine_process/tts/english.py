"""
English as it is written, in words: money, numbers, dates, units, addresses, abbreviations, signs.

espeak-ng 1.52 reads "$9.99" as "dollar nine point nine nine" and "5 km" as "five kay em", hibari 0.2.1 reads
"2.10.3" as "two ten three" and "e.g." as "ee jee". Both read words alike, so all that is no word is written as words
here. Each rule leaves nothing but words, which no later one touches, so their order decides.
"""

import calendar
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from .numerals import cardinal, digits, number, ordinal, plural, roman, year
from .text import shortened

# Currencies, units, abbreviations, signs and their words.
TABLES: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
PART_LIMIT = 1000  # characters that are looked at together; some rules take the square of their time
BEFORE = r"(?<![\w.,:/$€£-])"  # where a figure begins that is not the middle of something

SCALE = r"\s?(?:thousand|million|billion|trillion|mn|bn|tn|[kKmMbBT])\b(?![\w-])"
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
POWERS = {"²": "square ", "³": "cubic ", "^2": "square ", "^3": "cubic "}
FULL = calendar.month_name[1:]
MONTHS = dict(zip([*FULL, *calendar.month_abbr[1:], "Sept"], [*FULL, *FULL, "September"], strict=True))
DAYS = {day[:3]: day for day in calendar.day_name} | {"Tues": "Tuesday", "Thurs": "Thursday"}
NAMES = MONTHS | DAYS | {day: day for day in calendar.day_name}
MONTH = rf"\b({'|'.join(MONTHS)})\b\.?"
SPELLED = {".": "dot", "_": "underscore", "@": "at", "+": "plus", "-": "dash", "/": "slash"}
FRACTIONS = {2: "half", 4: "quarter"}
ROMAN = r"(?=[IVXLCM])(M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?<=[IVXLCDM])\b(?!['’])"
COUNTED = re.compile(r" (?!(?:is|was|as|has|this|its|his)\b)[a-z]+s\b")
Replacement = str | Callable[[re.Match[str]], str]
SENTENCE_AFTER = re.compile(r"\s*$|\s+[\"“'(]?[A-Z]")


def normalize(text: str, language: str) -> str:
    """*text* with all that is no word in words, where *language* is English; outside America, 2/3/2026 is in March."""
    tag = language.lower()
    if tag.split("-")[0] != "en":
        return text
    day_first = tag not in ("en", "en-us") and not tag.startswith("en-us-")
    lines = []
    for line in text.split("\n"):
        if line.isupper() and len(line.split()) > 4:
            line = line.lower()  # else hibari spells "SAT"
        said = []
        for part in shortened(line, PART_LIMIT):
            for pattern, replacement in rules(day_first=day_first):
                part = pattern.sub(replacement, part)
            said.append(part)
        lines.append(re.sub(r"\s+", " ", " ".join(said)).replace(" ,", ",").strip())
    return "\n".join(lines)


def spell_out(word: str) -> str:
    """*word* letter by letter; "A" by itself would be an article."""
    return " ".join("eh" if letter in "aA" else letter.upper() for letter in word)


def spelled(name: str) -> str:
    """A host, a file's name or the like: its words, with its signs named."""
    words = []
    for part in re.findall(r"[^\W\d_]+|\d+|[._@+/:~-]", name):
        if part.isdecimal():
            words.append(number(part))
        elif not part[0].isalpha():
            words.append(SPELLED.get(part, ""))
        elif part not in TABLES["domains"] and (len(part) < 3 or not re.search("[aeiouyAEIOUY]", part)):
            words.append(spell_out(part))
        else:
            words.append(part)
    return " ".join(filter(None, words))


def dotted(match: re.Match[str]) -> str:
    """Words with dots between, as in example.com or notes.txt; two sentences that lack a space are parted."""
    name = match[0]
    parts = name.split("/")[0].split(".")
    if all(len(part) == 1 for part in parts):
        return name
    if release := re.fullmatch(r"([A-Za-z]+)(\d+\.\d+)", name):
        return f"{release[1]} {number(release[2])}"
    if re.fullmatch(r"[a-z]{2,}\.[A-Z][a-z]*", name):
        return name.replace(".", ". ")
    return spelled(name)


def money(match: re.Match[str]) -> str:
    """An amount of money: nine dollars and ninety-nine cents; "a $5 bill" has one dollar as its kind."""
    groups = match.groupdict()
    sign = groups["sign"] or groups["after"]
    unit, part = TABLES["currencies"][sign]
    unit = TABLES["countries"].get(groups.get("country") or "", "") + unit
    scale = (groups["scale"] or "").strip()
    scale = TABLES["scales"].get(scale, scale)
    amount, to = groups["amount"], groups["to"]
    whole, _, hundredths = amount.replace(",", "").partition(".")
    minus = "minus " if groups["minus"] else ""
    per = f" per {TABLES['per'].get(groups['per'], groups['per'])}" if groups["per"] else ""
    article = groups["article"] or ""
    if part and len(hundredths) == 2 and not scale and not to:
        said = f"{number(whole or '0')} {unit if int(whole or '0') == 1 else plural(unit)}"
        if hundredths != "00":
            cents = f"{cardinal(int(hundredths))} {part if hundredths == '01' else plural(part)}"
            said = f"{said} and {cents}" if int(whole or "0") else cents
        return f"{article}{minus}{said}{per}"
    single = article or (amount == "1" and not scale and not to)
    figures = number(amount) + (f" to {number(to)}" if to else "") + (f" {scale}" if scale else "")
    return f"{article}{minus}{figures} {unit if single else plural(unit)}{per}"


def measure(match: re.Match[str]) -> str:
    """A number with its unit: five kilometers per hour; "a 5-km run" has one kilometer as its kind."""
    amount, to, hyphen, unit, power, per, per_power = match.groups()
    noun = POWERS.get(power or "", "") + TABLES["units"][unit]
    figures = number(amount) + (f" to {number(to)}" if to else "")
    said = f"{figures} {noun if hyphen or (amount in ('1', '-1') and not to) else plural(noun)}"
    if per == "s" and per_power:
        return f"{said} per second {'cubed' if per_power[-1] in '³3' else 'squared'}"
    if per:
        divisor = TABLES["per"].get(per, TABLES["units"].get(per, per))
        said += f" per {POWERS.get(per_power or '', '')}{divisor}"
    return said


def counted(*nouns: str) -> Replacement:
    """What says figures with their *nouns*: one hour thirty minutes, or six feet two inches for 6'2"."""

    def said(match: re.Match[str]) -> str:
        amounts = [(figures, noun) for figures, noun in zip(match.groups(), nouns, strict=True) if figures]
        return " ".join(f"{number(each)} {noun if each == '1' else plural(noun)}" for each, noun in amounts)

    return said


def inches(match: re.Match[str]) -> str:
    """A number of inches, unless the sign ends a quotation."""
    if match.string.count('"', 0, match.start()) % 2 and match[2] == '"':
        return match[0]
    single = match[1] == "1" or re.match(" [a-z]", match.string[match.end() :])  # a 27" screen
    return f"{number(match[1])} {'inch' if single else 'inches'}"


def date(year_: str, month: str, day: str) -> str | None:
    """November second, twenty twenty-six; None where there is no such day."""
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    if len(year_) == 2:
        year_ = ("19" if int(year_) > 50 else "20") + year_
    said = f"{calendar.month_name[int(month)]} {ordinal(int(day))}"
    return f"{said}, {year(int(year_))}" if year_ else said


def month_day(match: re.Match[str]) -> str:
    """November 2, 2026."""
    month = 1 + FULL.index(MONTHS[match[1]])
    return date(match[3] or "", str(month), match[2]) or match[0]


def day_month(match: re.Match[str]) -> str:
    """2 November 2026: the second of November."""
    day, month, year_ = int(match[1]), MONTHS[match[2]], match[3]
    if not 1 <= day <= 31:
        return match[0]
    return f"the {ordinal(day)} of {month}" + (f", {year(int(year_))}" if year_ else "")


def time(match: re.Match[str]) -> str:
    """Ten thirty; three oh five PM; ten o'clock."""
    hour, minute, second, half = match.groups()
    hours, minutes = int(hour), int(minute or "0")
    said = cardinal(hours)
    if minutes:
        said += f" {'oh ' if minutes < 10 else ''}{cardinal(minutes)}"
    elif not half:
        said += " o'clock" if 1 <= hours <= 12 else " hundred hours" if hours else " hundred"
    if second and second != "00":
        said += f" and {cardinal(int(second))} {'second' if int(second) == 1 else 'seconds'}"
    if half:
        said += f" {half.upper()}M"
    return said + ("." if match[0].endswith(".") and SENTENCE_AFTER.match(match.string, match.end()) else "")


def phone(match: re.Match[str]) -> str:
    """A telephone number or another that is read digit by digit, in its groups."""
    written = match[0]
    groups = re.findall(r"\d+", written)
    total = sum(map(len, groups))
    lengths = [len(group) for group in groups]
    if len(groups) == 2 and lengths == [3, 4] and written[0] not in "+(":
        low, high = map(int, groups)
        if groups[1][0] != "0" and low % 10 == high % 10 == 0 and low < high:
            return written  # 500-1000 is a range
        is_phone = "-" in written or "." in written
    else:
        is_phone = (
            written[0] in "+("
            or lengths[-2:] == [3, 4]
            or (len(groups) > 2 and "-" in written)
            or (groups[0][0] == "0" and len(groups[0]) > 1)
            or (len(groups) > 3 and set(lengths) == {4})
        )
    if total < 7 or not is_phone or ("." in written and len(groups) < 3 and lengths != [3, 4]):
        return written
    return ("plus " if written[0] == "+" else "") + ", ".join(map(digits, groups))


def version(match: re.Match[str]) -> str:
    """2.10.3, or an address such as 10.0.0.12, or a date such as 24.12.2026."""
    letter, figures, port, mask = match.groups()
    parts = figures.split(".")
    if not letter and len(parts) == 3 and len(parts[2]) == 4 and (day := date(*reversed(parts))):
        return day
    between = " dot " if len(parts) == 4 and not letter else " point "
    said = ("version " if letter else "") + between.join(number(part) for part in parts)
    return said + (f" port {digits(port)}" if port else "") + (f" slash {number(mask)}" if mask else "")


def fraction(match: re.Match[str]) -> str:
    """One half, three quarters, one and a half; 8/10 is eight out of ten."""
    whole, above, below = match[1], int(match[2]), int(match[3])
    if not whole and 12 < below < 32 and below not in (16, 20) and 0 < above < 13:
        return date("", match[2], match[3]) or match[0]
    if above == below >= 20:
        said = f"{cardinal(above)} {cardinal(below)}"  # 50/50
    elif not below or above >= below or (below in (10, 100) and not whole):
        over = " out of " if below in (5, 10, 20, 50, 100) and above <= below else " over "
        said = f"{cardinal(above)}{over}{cardinal(below)}"
    else:
        name = FRACTIONS.get(below) or ordinal(below)
        name = name if above == 1 else "halves" if below == 2 else f"{name}s"
        said = f"{'a' if whole and above == 1 else cardinal(above)} {name}"
    return f"{number(whole)} and {said}" if whole else said


def decade(match: re.Match[str]) -> str:
    """1990s, '90s, 1900s."""
    century, tens = match[1], match[2]
    if tens == "00":
        if not century:
            return match[0]
        return "two thousands" if century == "20" else f"{cardinal(int(century))} hundreds"
    tens = cardinal(int(tens))
    said = tens[:-1] + "ies" if tens.endswith("y") else f"{tens}s"
    return (f"{cardinal(int(century))} " if century else "") + said


def range_(match: re.Match[str]) -> str:
    """Ten to twenty; 1990 to 1995; 2019-20."""
    low, high = match[1], match[2]
    if len(low) == 4 and len(high) in (2, 4) and 1000 < int(low) < 2100:
        return f"{year(int(low))} to {year(int(high)) if len(high) == 4 else number(high)}"
    return f"{number(low)} to {number(high)}"


def hashtag(match: re.Match[str]) -> str:
    """The words of a hashtag."""
    words = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", match[1])
    return f"hashtag {words}"


def power(match: re.Match[str]) -> str:
    """X squared, ten cubed, two to the power of eight."""
    base = number(match[1]) if match[1][0].isdecimal() else match[1]
    exponent = match[2].translate(RAISED).lstrip("^*(")
    if exponent in ("2", "3"):
        return f"{base} {'squared' if exponent == '2' else 'cubed'}"
    return f"{base} to the power of {number(exponent) if exponent[-1].isdecimal() else exponent}"


def scientific(match: re.Match[str]) -> str:
    """Six times ten to the power of twenty-three."""
    return f"{number(match[1])} times ten to the power of {number(match[2].lstrip('+'))}"


def abbreviation(match: re.Match[str]) -> str:
    """The words an abbreviation stands for; its full stop stays where a sentence ends with it."""
    said: str = TABLES["abbreviations"][match[0]]
    ends = match[0].endswith(".") and said in TABLES["ends_sentences"]
    return said + ("." if ends and SENTENCE_AFTER.match(match.string, match.end()) else "")


def saint_or_street(match: re.Match[str]) -> str:
    """St. Louis, Main St."""
    after = match.string[match.end() : match.end() + 2]
    is_named = re.search(r"(?:[A-Z]\w*|\d\w*) $", match.string[: match.start()])
    street = is_named and not re.match(r" [A-Z]", after)
    return ("Street" if street else "Saint") + ("." if street and not after.strip() else "")


def calendar_year_or_number(match: re.Match[str]) -> str:
    """A number of four digits is a year, unless things follow that are counted."""
    figures = match[0]
    counted = COUNTED.match(match.string, match.end())
    return number(figures) if counted or figures[1:] == "000" else year(int(figures))


def plain(match: re.Match[str]) -> str:
    """A number that is nothing else; one of ten digits and more that does not end in zeros is read by digits."""
    figures = match[0]
    if len(figures) > 9 and figures.isdecimal() and not figures.endswith("000"):
        return digits(figures)
    return number(figures)


def mixed(match: re.Match[str]) -> str:
    """Letters and digits without a space between: MP3, H2O, 1080p, 3f2a9c."""
    parts = re.findall(r"\d+|[^\W\d_]+", match[0])
    if len(parts) > 4:
        return " ".join(digits(part) if part.isdecimal() else spell_out(part) for part in parts)
    said = []
    for part in parts:
        if not part.isdecimal():
            said.append(spell_out(part) if part.isupper() and len(part) < 4 else part)
        elif len(part) == 4 and part[1:] != "000" and part[0] != "0":
            said.append(year(int(part)))
        else:
            said.append(number(part))
    return " ".join(said)


def one_of(words: Iterable[str]) -> str:
    """A pattern for any of *words*, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


@cache
def rules(*, day_first: bool) -> list[tuple[re.Pattern[str], Replacement]]:
    """The rules, in their order."""
    sign = f"[{''.join(one for one in TABLES['currencies'] if len(one) == 1)}]"
    code = "|".join(one for one in TABLES["currencies"] if len(one) == 3)
    to = rf"(?:(?:[kKmMbB]|bn)?\s?[-–—]\s?{sign}?(?P<to>{NUMBER}))?(?P<scale>{SCALE})?"
    per = r"(?:\s?/\s?(?P<per>[A-Za-z]{1,9})\b)?"
    article = r"(?P<article>\b[Aa]n? )?(?P<minus>(?<![\w.])[-−])?"
    unit = one_of(TABLES["units"])
    names = one_of(NAMES)
    month = 2 if day_first else 1  # where 2/3/2026 has it
    fraction_of = r"(?:(?<![\w./,-])(\d+)[ -])?(?<![\w./,-])(\d{1,3})/(\d{1,3})(?![\w/]|\.\d)"
    table: list[tuple[str, Replacement]] = [
        (r"\d{40,}", lambda figures: digits(figures[0])),
        (r"(?<=\d)[’′](?=\d)|(?<=\d)’(?=\s?\d)", "'"),
        (r"[’‘](?=\w)", "'"),
        (r"(?<!\w)(?:[:;=]-?[)(DPpO]|<3)(?!\w)", ""),
        (r"[™®•·|†‡]", " "),
        (r"©", " copyright "),
        (r"(?<=\b[a-zA-Z])\+\+(?!\w)", " plus plus"),
        (r"(?<=[cC]all )\d{3}\b|(?<=[dD]ial )\d{3}\b", lambda figures: digits(figures[0])),
        (r"(?<!\w)[Α-Ωα-ω](?!\w)", lambda greek: unicodedata.name(greek[0]).split()[-1].lower()),
        (r"[₀-₉]", lambda index: str(ord(index[0]) - ord("₀"))),
        (r"\bRs\.?\s?(?=\d)", "₹"),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", lambda mail: spelled(mail[0])),
        (rf"(?<![\w.])(?:{one_of(TABLES['abbreviations'])})(?![\w/+#]|(?<=\.)[a-z])(?=\W|$)", abbreviation),
        (r"\bSt\.(?=[\s,;]|$)(?! \d)", saint_or_street),
        (
            rf"(?<![\w.])({one_of(TABLES['before_number'])})\s?(?=[\d.]*\d|[IVXLC]+\b)",
            lambda said: TABLES["before_number"][said[1]] + " ",
        ),
        (r"(?<![\w&])#([^\W\d]\w*)", hashtag),
        (r"(?<!\w)@(?=\w)", "at "),
        (r"(?<![\w.])((?:[A-Z]\. ?){2,})(?=[A-Z][a-z])", lambda initials: initials[1].replace(".", " ")),
        (rf"\b([A-Z][a-z]+ )([B-HJ-Z])\. (?=[A-Z][a-z])(?!(?:{'|'.join(TABLES['opening'])})\b)", r"\1\2 "),
        (
            r"\b([A-Z]{2}) (\d{5})(?:-(\d{4}))?\b(?![\d,.-]\d)",
            lambda code: f"{code[1]} {digits(code[2] + (code[3] or ''))}",
        ),
        (r"\\", " backslash "),
        # Dates and times.
        (
            r"(\d:\d\d|\d\s?[aApP][mM]|\bnoon|\bmidnight|\b\d{1,2})\s?[-–]\s?"
            r"(?=\d{1,2}(?::\d\d|\s?[aApP][mM]\b)|noon\b|midnight\b)",
            r"\1 to ",
        ),
        (rf"\b({names})\.?\s?[-–]\s?({names})\b", lambda span: f"{NAMES[span[1]]} to {NAMES[span[2]]}"),
        (rf"\b({'|'.join(DAYS)})(?:\.(?=[-–,])|\.?(?=,? (?:\d|{MONTH})))", lambda day: DAYS[day[1]]),
        (
            rf"{BEFORE}(\d{{4}})([-/])(\d\d)\2(\d\d)(?:(T| )(?=\d\d:)|(?![\w/-]|\.\d))",
            lambda day: (date(day[1], day[3], day[4]) or day[0]) + (", " if day[5] else ""),
        ),
        (
            rf"{BEFORE}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d\d)(?![\w/])",
            lambda day: (
                date(day[3], day[month], day[3 - month]) or date(day[3], day[3 - month], day[month]) or day[0]
            ),
        ),
        (rf"{MONTH} (\d{{1,2}})(?:st|nd|rd|th)?\b(?![:/%.,]\d)(?:,? (\d{{4}})\b)?", month_day),
        (rf"(?:\b[Tt]he )?{BEFORE}(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{MONTH}(?:,? (\d{{4}})\b)?", day_month),
        (
            rf"\b({'|'.join(short for short in calendar.month_abbr if short and short != 'May')}|Sept)\.",
            lambda m: MONTHS[m[1]],
        ),
        (
            r"(?<![\w:.])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?Z?(?:\s?([AaPp])\.?[Mm]\b\.?)?(?![\w:])",
            time,
        ),
        (r"(?<![\w:.$€£])(1[0-2]|0?[1-9])()()\s?([AaPp])\.?[Mm]\b\.?(?!\w)", time),
        # Money.
        (
            rf"{article}(?:(?P<country>{one_of(TABLES['countries'])})|(?<![\w.]))(?P<sign>{sign})(?P<after>)\s?(?P<amount>{NUMBER}){to}{per}",
            money,
        ),
        (rf"{article}\b(?P<sign>{code})(?P<after>) ?(?P<amount>{NUMBER}){to}{per}", money),
        (
            rf"{article}{BEFORE}(?P<sign>)(?P<amount>{NUMBER}){to} ?(?P<after>{sign}(?!\d)|(?:{code})\b){per}",
            money,
        ),
        # What is read digit by digit.
        (
            r"(?<![\w.+/-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]\d{1,9}){1,5}(?![\w/-]|\.\d|,\d)",
            phone,
        ),
        (
            r"(?<![\w.])([vV](?=\d))?(\d+(?:\.\d+){2,3}|(?<=v)\d+(?:\.\d+)?|(?<=V)\d+\.\d+)(?![\w.]*\w)(?::(\d{2,5}))?(?:/(\d{1,2})\b)?",
            version,
        ),
        (r"(?<![\w@./-])[\w-]+(?:/[\w-]+)*/[\w-]+\.[a-z]{1,5}\b(?!/)", lambda path: spelled(path[0])),
        (r"(?<![\w@./-])(?:https?://)?[^\W\d][\w-]*(?:\.[\w-]+)+(?:/[\w./-]*\w)?(?:\(\))?(?!\w)", dotted),
        (r"(?<![\w./<])(?:~|\.\.?)?(?:/[\w.-]*[^\W\d][\w.-]*)+/?", lambda path: spelled(path[0])),
        # Measures.
        (
            r"(?<![\w.])(\d+)\s?h(?:rs?)?\s?(\d+)\s?m(?:ins?)?(?:\s?(\d+)\s?s(?:ecs?)?)?\b",
            counted("hour", "minute", "second"),
        ),
        (r"(?<![\w.])(\d+)\s?m(?:ins?)?\s(\d+)\s?s(?:ecs?)?\b", counted("minute", "second")),
        (r"(?<!\w)'?(1[0-9]|20|)(\d0)'?s\b", decade),
        (r"(?<![\w.])(\d{1,2})\s?ft\.?,?\s(\d{1,2}(?:\.\d+)?)\s?in\b\.?", counted("foot", "inch")),
        (r"(?<![\w'])(\d{1,2})['′] ?(\d{1,2}(?:\.\d+)?)(?:\"|″|”|'')?(?![\w'])", counted("foot", "inch")),
        (r"(?<![\w'])(\d{1,4})(?:′|'(?= (?:tall|long|wide|high|deep|x|×|by)\b))()", counted("foot", "inch")),
        (r"(?<![\w'.])(\d+(?:\.\d+)?)(″|\"(?!\w))", inches),
        (r"(\d*)([½⅓⅔¼¾⅕⅛⅜⅝⅞])", lambda sign: f"{sign[1]} {TABLES['vulgar'][sign[2]]}".strip()),
        (fraction_of, fraction),
        (
            r"( and)?( (?:a |[a-z-]+ )?(?:half|halves|thirds?|quarters?|eighths?|sixteenths?)) "
            rf"({unit})(?<=[a-z]{{2}})(?![\w²³^/'])",
            lambda part: f"{part[1] or ''}{part[2]} {(plural if part[1] else str)(TABLES['units'][part[3]])}",
        ),
        (r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)\b", scientific),
        (
            rf"(?<![\w.,])(?<![A-Za-z]-)([-−]?(?:{NUMBER}))(?:%?\s?[-–]\s?({NUMBER}))?(?:\s?|(-))({unit})(\^?[²³23])?"
            r"(?:/([A-Za-z]{1,3})(\^?[²³23])?)?(?:\.(?= [a-z]))?"
            r"(?![\w²³^/]|'(?!s\b))(?<! in)",
            measure,
        ),
        (rf"(?<![\w.])((?:{NUMBER})|[^\W\d]{{1,3}})(\*\*-?\d+|\^-?\w|\^\(?-?\d+|[⁻⁰¹²³⁴-⁹]+)(?!\w)", power),
        (r"(?<=\d)\s?[xX]\s?(?=\d+\s*=)", " times "),
        (r"(?<=\d)\s?[xX]\s?(?=\d)", " by "),
        (r"(?<=\d)!(?=\s*[=+*/-])", " factorial"),
        (r"∞", " infinity "),
        (r"(?<=\d)\s?[*×]\s?(?=[\d(])|(?<=[\w)])[*](?=[\w(])|(?<=\w) \* (?=\w)", " times "),
        (
            rf"{BEFORE}(\d{{1,3}}):(\d{{1,3}})(?![\w:])",
            lambda ratio: f"{number(ratio[1])} to {number(ratio[2])}",
        ),
        # Numbers with letters.
        (r"\b((?:19|20)\d\d)/(\d\d)\b(?!/)", lambda season: f"{year(int(season[1]))} {number(season[2])}"),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda rank: ordinal(int(rank[1])) if len(rank[1]) < 15 else rank[0]),
        (
            rf"(?<![\w.,])({NUMBER})(k|M|bn)\b(?!-)",
            lambda many: f"{number(many[1])} {TABLES['scales'][many[2]]}",
        ),
        (r"(?<![\w.])\d+\.\d+(?=[A-Za-z]{1,3}\b)", lambda figures: number(figures[0]) + " "),
        (
            rf"\b({'|'.join(TABLES['rulers'])}) (?!I\b(?! (?:of|was|and|ruled|died)\b| *[.,;:)]| *$)){ROMAN}",
            lambda ruler: f"{ruler[1]} the {ordinal(roman(ruler[2]))}",
        ),
        (
            rf"\b((?:{'|'.join(TABLES['numbered'])}|volume|chapter|section|figure)s?|"
            rf"(?:[A-Z][a-z]+|and|to)(?= [IVX]{{2}})) {ROMAN}",
            lambda numbered: f"{numbered[1]} {cardinal(roman(numbered[2]))}",
        ),
        (
            r"\b(?=[MDCLXVI]{5,})" + ROMAN,
            lambda numeral: (year if roman(numeral[1]) >= 1000 else cardinal)(roman(numeral[1])),
        ),
        # Ranges and signs.
        (rf"{BEFORE}(\d{{1,4}})\s?[-–]\s?(\d{{1,4}})(?![\w-]|[.,/]\d|\s*[=+*/])", range_),
        (r"(?<=\d)\s?[-−–]\s?(?=\d[\d.]*\s*=)|(?<==)\s?[-−](?=\d)|(?<=\d) - (?=\d)", " minus "),
        (r"(?<![\w)])[-−](?=\.?\d)", "minus "),
        (
            rf"(?<=[\w)])\s?({one_of(TABLES['signs'])})\s?(?=[\w(.-])(?<!\w-)",
            lambda sign: f" {TABLES['signs'][sign[1]]} ",
        ),
        (r"(?<!\S)([<>≤≥≈]=?)\s?(?=\d)", lambda sign: TABLES["limits"][sign[1]] + " "),
        (r"(?<=\w)\+(?!\w)", " plus"),
        (r"(?<!\S)\+(?=\d)", "plus "),
        (r" & |(?<=\w)&(?=\w)", " and "),
        (r"(?<=[A-Za-z])/(?=[A-Za-z])", " slash "),
        (r"(?<=\d)\s?/\s?(?=\d)", " slash "),
        (r"(?<=\w)\(\)", ""),
        (r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])", " "),
        # What is left are numbers.
        (r"(?<![\w.,])(?:10[1-9]|1[1-9]\d|20\d)\d(?![\w%]|[.,]\d)", calendar_year_or_number),
        (r"\b(?=\w*\d)(?=\w*[^\W\d_])[^\W_]+\b", mixed),
        (r"(?<=\d)\.(?=\d+\.\d)", " point "),
        (r"(?<=\d),(?=\d{1,2}(?!\d))", ", "),
        (NUMBER, plain),
        (r"[⁰¹²³⁴-⁹]+", lambda note: f" {digits(note[0].translate(RAISED))}"),  # of a footnote
        (r"[_~^]", " "),
    ]
    return [(re.compile(pattern), replacement) for pattern, replacement in table]
