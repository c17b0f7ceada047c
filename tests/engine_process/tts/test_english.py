import pytest

from app.engine_process.tts.english import as_said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It costs $9.99.", "It costs 9 dollars and 99 cents."),
        ("$1, £1.01 and €1,250.00", "1 dollar, 1 pound and 1 penny and 1,250 euros"),
        ("$3.25 million, ¥500", "3.25 million dollars, 500 yen"),
        ("£0.50", "0 pounds and 50 pence"),
        ("on 2026-11-02.", "on 2 November 2026."),
        ("pages 2-3 and 10 – 12", "pages 2 to 3 and 10 to 12"),
        ("5 km at 1 km/h, 70kg", "5 kilometres at 1 kilometre per hour, 70 kilograms"),
        ("555-1234-99, 2026-13-45, x-2, v1.2-3, $9.999", "555-1234-99, 2026-13-45, x-2, v1.2-3, $9.999"),
    ],
)
def test_what_espeak_would_spell_out_is_written_as_it_is_said(written, said):
    assert as_said(written) == said
