"""Audio as it comes over a line: rates, pieces cut anywhere, G.711."""

import numpy as np
import pytest

from app.engine_process.stt.pcm import Pcm, alaw, ulaw


@pytest.mark.parametrize("rate", [8000, 11025, 16001, 22050, 24000, 44100, 48000])
def test_any_rate_in_pieces_cut_anywhere_is_the_same_tone_at_16_khz(rate):
    tone = (10000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)).astype("<i2").tobytes()
    pcm, pieces, at = Pcm("pcm", rate), [], 0
    while at < len(tone):
        size = 1 + at * 7919 % 4099  # odd ones, too
        pieces.append(pcm(tone[at : at + size]))
        at += size
    heard = np.concatenate(pieces).astype(float)
    expected = 10000 * np.sin(2 * np.pi * 1000 * np.arange(len(heard)) / 16000)
    assert 16000 - 40 <= len(heard) <= 16000
    assert np.abs(heard - expected)[100:].max() < 30


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_what_16_khz_can_not_hold_is_not_heard(rate):
    tone = (10000 * np.sin(2 * np.pi * 10000 * np.arange(rate) / rate)).astype("<i2").tobytes()
    assert np.abs(Pcm("pcm", rate)(tone).astype(int))[100:].max() < 30


def test_g711_as_the_tables_of_itu_have_it():
    assert [int(ulaw()[code]) for code in (0x00, 0x7F, 0x80, 0xFF, 0x8F)] == [-32124, 0, 32124, 0, 16764]
    assert [int(alaw()[code]) for code in (0xD5, 0x55, 0xAA, 0x2A, 0x80)] == [8, -8, 32256, -32256, 5504]
