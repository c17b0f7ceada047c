"""Keys for minutes."""

import pytest

from app.access.keys import Tickets

KEYS = "a-key-that-is-long-enough,another-key-for-others"
SESSION = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}


@pytest.mark.parametrize("api_keys", [KEYS, "", f"sha256:{'ab' * 32}"])
def test_what_was_signed_is_read_until_its_end(clock, api_keys):
    tickets = Tickets(api_keys, clock)
    value, made = tickets.make("id", 60, SESSION)
    assert tickets.find(["no key at all", "ek_nothing", value]) == made == ("id", 1060, SESSION)
    clock.advance(59)
    assert tickets.find([value]) == made
    clock.advance(1)
    assert tickets.find([value]) is None


def test_nothing_in_it_may_be_changed(clock):
    tickets = Tickets(KEYS, clock)
    value, _ = tickets.make("id", 60, SESSION)
    for at in range(3, len(value)):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        found = tickets.find([changed])
        assert found is None or at == len(value) - 1  # the last letter has bits to spare


def test_machines_with_the_same_keys_take_each_others_and_others_do_not(clock):
    value, made = Tickets(KEYS, clock).make("id", 60, {})
    assert Tickets(", ".join(reversed(KEYS.split(","))), clock).find([value]) == made
    for others in ("", KEYS[:-1], KEYS + ",more", KEYS.upper()):
        assert Tickets(others, clock).find([value]) is None


def test_a_hash_signs_nothing(clock):
    """Whoever reads the hash of a key could make keys for browsers otherwise."""
    hashed = f"sha256:{'ab' * 32}"
    one, other = Tickets(hashed, clock), Tickets(f"sha256:{'cd' * 32}", clock)
    value, made = one.make("id", 60, {})
    assert other.find([value]) == made  # the secret is that of this process
