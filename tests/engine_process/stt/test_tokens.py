import pytest
import tokenizers

from app.engine_process.stt.tokens import Vocabulary

SENTENCES = [
    " And Mr. John Dashwood had then leisure to consider.",
    " Ünïcödé, 東京 and ไทย: 𝄞!",
    ' "Quoted" (and bracketed) -- 3.14 %',
]


@pytest.fixture(scope="module")
def vocabulary(model_dir):
    return Vocabulary(model_dir)


@pytest.fixture(scope="module")
def stock(model_dir):
    from faster_whisper.tokenizer import Tokenizer

    return Tokenizer(tokenizers.Tokenizer.from_file(str(model_dir / "tokenizer.json")), multilingual=False)


def test_special_tokens_are_found_by_name(vocabulary, stock):
    assert vocabulary.end_of_text == stock.eot
    assert vocabulary.start == stock.sot
    assert vocabulary.previous == stock.sot_prev
    assert vocabulary.timestamp_begin == stock.timestamp_begin
    assert not vocabulary.multilingual
    with pytest.raises(KeyError):
        vocabulary.number_of("<|klingon|>")


def test_what_the_stock_call_suppresses_is_suppressed(vocabulary, stock):
    from faster_whisper.transcribe import get_suppressed_tokens

    assert vocabulary.suppressed == list(get_suppressed_tokens(stock, [-1]))


def test_languages_have_whispers_codes(vocabulary):
    assert {"en", "de", "zh", "haw", "jw"} <= set(vocabulary.languages)
    assert "translate" not in vocabulary.languages


@pytest.mark.parametrize("text", SENTENCES)
def test_text_survives_encoding_and_decoding(vocabulary, text):
    assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_are_those_of_the_stock_tokenizer(vocabulary, stock, text, language):
    stock.language_code = language
    tokens = [*vocabulary.encode(text), vocabulary.end_of_text]
    assert vocabulary.words(tokens, language) == list(zip(*stock.split_to_word_tokens(tokens), strict=True))


def test_a_character_cut_in_two_is_replaced_not_raised(vocabulary):
    tokens = vocabulary.encode("𝄞")
    assert len(tokens) > 1
    assert "\ufffd" in vocabulary.decode(tokens[:1])


def test_timestamps_say_nothing(vocabulary):
    zero = vocabulary.timestamp_begin
    assert (
        vocabulary.decode([zero, *vocabulary.encode(" Yes."), zero + 50, vocabulary.end_of_text]) == " Yes."
    )
