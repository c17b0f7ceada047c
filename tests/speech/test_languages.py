import pytest
from gtts.lang import tts_langs

from app.speech import languages


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
    assert languages.fitting(tag) == fitting


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
