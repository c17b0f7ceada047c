"""English that espeak-ng reads badly by itself, written as it is said."""

import calendar
import re

# espeak-ng 1.52 says "dollar nine point nine nine", "dash eleven dash", "kay em".
AMOUNT = re.compile(
    r"([$€£¥])\s?(\d+(?:,\d{3})*)(?:\.(\d\d))?(?![\d.,]*\d)(\s(?:thousand|million|billion|trillion)\b)?"
)
CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yen", "")}
PLURALS = {"penny": "pence", "yen": "yen"}
DATE = re.compile(r"(?<![\w-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])")
RANGE = re.compile(r"(?<![\w.,/-])(\d{1,4})\s?[-–]\s?(\d{1,4})(?![\w.,/-]*\d)")
MEASURE = re.compile(
    r"(?<![\w.])(\d[\d,.]*)\s?(km/h|km|cm|mm|kg|mg|ml|mph|GB|MB|kB|ms|hrs?|mins?|secs?)(?!\w)"
)
UNITS = {
    "km/h": "kilometre per hour", "km": "kilometre", "cm": "centimetre", "mm": "millimetre",
    "kg": "kilogram", "mg": "milligram", "ml": "millilitre", "mph": "mile per hour",
    "GB": "gigabyte", "MB": "megabyte", "kB": "kilobyte", "ms": "millisecond",
    "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "sec": "second", "secs": "second",
}  # fmt: skip


def as_said(text: str) -> str:
    """*text* with amounts of money, dates, ranges and measures in words; numbers stay figures."""
    text = AMOUNT.sub(amount, text)
    text = DATE.sub(lambda date: f"{int(date[3])} {calendar.month_name[int(date[2])]} {date[1]}", text)
    text = RANGE.sub(r"\1 to \2", text)
    return MEASURE.sub(lambda measure: f"{measure[1]} {counted(UNITS[measure[2]], measure[1])}", text)


def amount(found: re.Match[str]) -> str:
    """An amount of money in words: 9 dollars and 99 cents."""
    symbol, whole, hundredths, scale = found.groups()
    unit, part = CURRENCIES[symbol]
    if scale or not part or not hundredths:
        point = f".{hundredths}" if hundredths else ""
        return f"{whole}{point}{scale or ''} {counted(unit, whole + point + (scale or ''))}"
    if hundredths == "00":
        return f"{whole} {counted(unit, whole)}"
    return f"{whole} {counted(unit, whole)} and {int(hundredths)} {counted(part, str(int(hundredths)))}"


def counted(unit: str, number: str) -> str:
    """*unit* as it is said after *number*."""
    if number == "1":
        return unit
    first, *rest = unit.split(" ", 1)
    return " ".join([PLURALS.get(first, first + "s"), *rest])
