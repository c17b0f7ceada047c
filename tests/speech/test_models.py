import pytest

from app.config import ConfigError, Settings
from app.speech import models


def test_costs_grow_with_the_model():
    costs = [models.CATALOGUE[name].cost_mb for name in ("tiny", "base", "small", "medium", "large-v3")]
    assert costs == sorted(costs)
    assert all(model.whole_mb > model.weights_mb for model in models.CATALOGUE.values())


def test_what_fits_is_named_from_the_largest_on():
    assert models.fitting(models.CATALOGUE["base"].cost_mb)[0].startswith("base")
    assert models.fitting(100) == []


@pytest.mark.parametrize("name", ["tiny.en", "base", models.AUTO])
def test_a_model_that_is_refused_is_not_among_those_that_fit(name, tmp_path):
    """With the memory for its sessions; a budget that has room for the model without them is none."""
    settings = Settings(whisper_model=name, model_dir=str(tmp_path))
    cost_mb = models.CATALOGUE["tiny.en" if name == models.AUTO else name].cost_mb
    room_mb = models.WEB_MB + settings.memory_reserve_mb + cost_mb + models.SESSION_MB * settings.engine_seats
    assert models.choose(settings, room_mb + 1)[0][0].name in (name, "tiny.en")
    with pytest.raises(ConfigError) as refused:
        models.choose(settings, room_mb - 1)
    fitting = str(refused.value).partition("models that fit: ")[2].split(", ")
    assert name not in fitting
    assert "tiny.en" not in fitting or name == "base"


def test_measured_and_computed_costs_are_told_apart():
    kinds = {model.name: model.cost_is for model in models.CATALOGUE.values()}
    assert kinds["tiny.en"] == kinds["base"] == "measured"
    assert kinds["large-v3"] == "computed"


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_the_formula_is_near_what_was_measured(name):
    model = models.CATALOGUE[name]
    assert model._replace(measured_mb=None).cost_mb == pytest.approx(model.measured_mb, rel=0.05)


def test_a_name_says_which_models_know_english_only():
    assert {model.name for model in models.CATALOGUE.values() if ".en" in model.name} == {
        model.name for model in models.CATALOGUE.values() if not model.multilingual
    }


@pytest.fixture
def installed(tmp_path):
    (tmp_path / "tiny.en" / "decoder").mkdir(parents=True)
    for file in (models.DECODER, models.ENCODER, models.CONFIG):
        (tmp_path / "tiny.en" / file).write_bytes(b"{}")
    (tmp_path / ".base.1234").mkdir()
    (tmp_path / ".base.1234" / models.WEIGHTS).write_bytes(b"a fetch under way")
    return tmp_path


def test_models_are_found_by_name_and_by_path(installed):
    assert models.find("tiny.en", installed) == installed / "tiny.en"
    assert models.find(str(installed / "tiny.en"), installed / "elsewhere") == installed / "tiny.en"
    assert models.find("base", installed) is None


def test_a_model_as_it_is_published_is_found_and_costs_what_ctranslate2_holds(tmp_path):
    (tmp_path / "base").mkdir()
    for file in (models.WEIGHTS, models.CONFIG):
        (tmp_path / "base" / file).write_bytes(b"{}")
    assert models.installed(tmp_path) == ["base"]
    assert not models.is_converted(tmp_path / "base")
    settings = Settings(whisper_model="base", model_dir=str(tmp_path))
    ((_, whole_mb),) = models.choose(settings, 512)
    (tmp_path / "base" / "decoder").mkdir()
    for file in (models.DECODER, models.ENCODER):
        (tmp_path / "base" / file).write_bytes(b"{}")
    ((_, converted_mb),) = models.choose(settings, 512)
    assert whole_mb - converted_mb > 50


def test_a_fetch_under_way_is_not_installed(installed):
    assert models.installed(installed) == ["tiny.en"]
    assert models.installed(installed / "nowhere") == []


def test_a_model_by_path_costs_what_a_known_one_of_its_size_does(installed):
    path = str(installed / "tiny.en")
    with open(f"{path}/{models.ENCODER}", "wb") as weights:
        weights.truncate(70 << 20)
    described = models.describe(path, installed)
    assert described.cost_is == "computed"
    assert described.cost_mb == pytest.approx(models.CATALOGUE["base"].cost_mb, rel=0.05)
    assert models.describe("unheard-of", installed) is None
