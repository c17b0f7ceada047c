"""API keys: how they are written, how they are told apart."""

import hashlib
import hmac
import sys

import pytest

from app.access.keys import ID_LETTERS, Keys
from app.config import ConfigError

FIRST, SECOND = "first-key-0123456789abcdef", "second-key-0123456789abcdef"


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_key_is_found_as_it_is_and_by_its_hash():
    keys = Keys(f" {FIRST} , sha256:{digest(SECOND).upper()}")
    assert len(keys) == 2
    assert keys.find([FIRST]) == digest(FIRST)[:ID_LETTERS]
    assert keys.find([SECOND]) == digest(SECOND)[:ID_LETTERS]


@pytest.mark.parametrize("presented", [FIRST[:-1], FIRST + "x", FIRST.upper(), digest(FIRST), "", "é\udcff"])
def test_what_is_no_key_is_not_found(presented):
    assert Keys(FIRST).find([presented]) == ""


def test_the_hash_of_a_key_does_not_open_what_the_key_opens():
    assert Keys(f"sha256:{digest(FIRST)}").find([digest(FIRST), f"sha256:{digest(FIRST)}"]) == ""


def test_64_hexadecimal_digits_alone_are_a_key_or_the_hash_of_one():
    made = digest("openssl rand -hex 32")
    assert Keys(made).find([made])
    assert Keys(made).find(["openssl rand -hex 32"])


def test_one_right_key_among_those_presented_is_enough():
    assert Keys(FIRST).find(["wrong", FIRST]) == Keys(FIRST).find([FIRST])


def test_no_keys_let_nobody_in():
    assert not Keys("")
    assert Keys("").find([""]) == ""


@pytest.mark.parametrize(
    ("configured", "complaint"),
    [
        ("a-key-of-ours,,another-one", "entry 2 is empty"),
        (",", "entry 1 is empty; entry 2 is empty"),
        ("sha256:abc", "entry 1 is no hash"),
        ("sha256:" + "g" * 64, "entry 1 is no hash"),
        ("a key", "entry 1 has a character"),
        ("schlüssel", "entry 1 has a character"),
    ],
)
def test_a_mistake_is_named_without_the_key(configured, complaint):
    with pytest.raises(ConfigError, match=f"API_KEYS: .*{complaint}") as mistake:
        Keys(configured)
    assert "schl" not in str(mistake.value)


def test_keys_that_can_be_guessed_are_counted():
    assert Keys(f"short,{FIRST},sha256:{digest('x')}").short == 1


@pytest.mark.parametrize("presented", [FIRST, SECOND, "third", FIRST[:-1] + "x", "x" + FIRST[1:]])
def test_the_comparison_is_the_same_wherever_keys_differ(presented):
    """Each known key is compared once, by hmac's own comparison, digests with digests of one length."""
    keys, compared = Keys(f"{FIRST},{SECOND},sha256:{digest('another')}"), []

    def note(frame, event, called):
        if event == "c_call" and called is hmac.compare_digest:
            compared.append((len(frame.f_locals["known"]), len(frame.f_locals["digest"])))

    sys.setprofile(note)
    try:
        keys.find([presented])
    finally:
        sys.setprofile(None)
    assert compared == [(32, 32)] * 3
