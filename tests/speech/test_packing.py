"""Weights are packed for MKL where it multiplies and the budget has room for all models."""

import pytest

from app.config import Settings
from app.engine.budget import Budget
from app.speech.models import CATALOGUE
from app.speech.routing import LocalModels


def engines(budget_mb: float, models: str = "tiny.en") -> dict[str, tuple[str, float]]:
    settings = Settings(whisper_model=models)
    found = LocalModels(settings, Budget(budget_mb, settings.memory_reserve_mb, lambda: 45.0)).listed
    return {
        one.model: (one.engine.program.environment["CT2_PACKED_GEMM"], one.engine.program.cost_mb)
        for one in found
    }


@pytest.mark.parametrize("mkl", ["0", "1"])
def test_weights_are_packed_where_there_is_room_and_mkl(monkeypatch, mkl):
    monkeypatch.setenv("CT2_USE_MKL", mkl)
    packed, cost_mb = engines(2000)["tiny.en"]
    assert packed == mkl
    small, least_mb = engines(300)["tiny.en"]
    assert small == "0"
    assert cost_mb - least_mb == (CATALOGUE["tiny.en"].packed_mb if mkl == "1" else 0)


def test_a_budget_that_has_room_for_one_packed_model_packs_none_of_two(monkeypatch):
    monkeypatch.setenv("CT2_USE_MKL", "1")
    one_mb = engines(2000)["tiny.en"][1]
    budget_mb = one_mb + 100
    assert engines(budget_mb)["tiny.en"][0] == "1"
    assert {packed for packed, _ in engines(budget_mb, "tiny.en,base").values()} == {"0"}
