"""What hosts read says what is here; the parts a host alone can judge are held to the host's own documentation."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import compose_spec
import pytest
import yaml

from app.config import PROJECT, Settings
from app.speech import models

RENDER = yaml.safe_load((PROJECT / "render.yaml").read_text())
NATIVE, DOCKER = RENDER["services"]
COMPOSE = (PROJECT / "compose.yaml").read_text()
HEROKU = json.loads((PROJECT / "app.json").read_text())
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
PROCFILE = dict(line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines())

# https://render.com/docs/blueprint-spec, as far as we use it
RENDER_FIELDS = {
    "type", "name", "runtime", "plan", "buildCommand", "startCommand", "healthCheckPath", "envVars",
    "dockerfilePath", "dockerContext", "region", "branch", "numInstances", "disk", "autoDeployTrigger",
    "maxShutdownDelaySeconds",
}  # fmt: skip
# https://devcenter.heroku.com/articles/app-json-schema
HEROKU_FIELDS = {
    "name", "description", "keywords", "website", "repository", "logo", "success_url", "scripts", "env",
    "formation", "image", "addons", "buildpacks", "environments", "stack", "features",
}  # fmt: skip
HEROKU_ENV_FIELDS = {"description", "value", "required", "generator"}


def test_render_is_told_fields_it_knows():
    assert set(RENDER) <= {"services", "databases", "envVarGroups", "projects", "ungrouped", "previews"}
    for service in (NATIVE, DOCKER):
        assert set(service) <= RENDER_FIELDS
        assert re.fullmatch(r"[a-z][a-z0-9-]*", service["name"])
        assert service["plan"] in ("free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra")
        for each in service["envVars"]:
            assert set(each) in ({"key", "value"}, {"key", "generateValue"})
            assert each.get("generateValue", True) is True
            assert isinstance(each.get("value", ""), str)
    assert len({service["name"] for service in (NATIVE, DOCKER)}) == 2


def test_render_builds_and_starts_what_is_here():
    assert (NATIVE["runtime"], DOCKER["runtime"]) == ("python", "docker")
    assert NATIVE["startCommand"] == PROCFILE["web"]
    steps = NATIVE["buildCommand"].split(" && ")
    assert steps[:2] == ["pip install -r requirements.txt", "python -m app models fetch"]
    assert steps[2:] == ["bin/bytecode"]
    assert "\nbin/bytecode\n" in (PROJECT / "bin" / "post_compile").read_text()
    assert (PROJECT / DOCKER["dockerfilePath"]).is_file()
    assert (PROJECT / ".python-version").read_text().strip() in ("3.10", "3.11", "3.12", "3.13")


@pytest.mark.parametrize(
    "environment",
    [
        {each["key"]: each.get("value", "generated/+=" * 4) for each in NATIVE["envVars"]},
        {name: each.get("value", "generated" * 7) for name, each in HEROKU["env"].items()},
    ],
    ids=["render", "heroku"],
)
def test_hosts_set_what_can_be_read_and_let_nobody_in_without_a_key(environment):
    settings = Settings.from_env(environment)
    assert settings.web_concurrency == 1
    assert settings.environment == "production"
    assert settings.api_keys
    # No host's limit need be readable: without a figure the budget would be the memory of the host's machine.
    assert settings.memory_budget_mb == 512
    assert [model.name for model, _ in models.choose(settings, 512)] == settings.whisper_model.split(",")


def test_a_dyno_compiles_nothing_when_it_starts(tmp_path):
    """pip makes no bytecode for PYTHONOPTIMIZE=2, and a dyno forgets what it compiled."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run([PROJECT / "bin" / "bytecode"], env=environment, check=True, timeout=300)
    started = """
import os, sys
import gunicorn.app.wsgiapp, gunicorn.workers.gthread, app.server.worker, app.jobs.fleet.queue, wsgi
for name, module in sys.modules.items():
    cached = getattr(getattr(module, "__spec__", None), "cached", None)
    if cached and name not in ("__main__", "wsgi") and not os.path.exists(cached):
        print(name)
"""
    environment |= {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", started],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_heroku_s_clients_are_taken_to_wait_as_long_as_its_router_does():
    """https://devcenter.heroku.com/articles/http-routing: 30 s until the first byte of an answer."""
    environment = {name: each["value"] for name, each in HEROKU["env"].items() if "value" in each}
    assert Settings.from_env(environment).client_wait_seconds == 30


def test_heroku_is_told_fields_it_knows():
    assert set(HEROKU) <= HEROKU_FIELDS
    for each in HEROKU["env"].values():
        assert set(each) <= HEROKU_ENV_FIELDS
        assert each.get("generator", "secret") == "secret"
    assert [each["url"] for each in HEROKU["buildpacks"]] == ["heroku-community/apt", "heroku/python"]
    assert set(HEROKU["formation"]) <= set(PROCFILE)


def test_the_build_hook_of_heroku_fetches_the_model():
    hook = PROJECT / "bin" / "post_compile"
    assert os.access(hook, os.X_OK)
    assert "python -m app models fetch" in hook.read_text()


@pytest.mark.parametrize("name", PROCFILE)
def test_the_procfile_starts_programs_that_requirements_bring(name):
    program = PROCFILE[name].split()[0]
    assert (Path(sys.executable).parent / program).is_file()


def test_compose_is_a_compose_file():
    """Held to the Compose Specification by a parser of it (compose-spec on PyPI)."""
    filled = re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", "value", COMPOSE.replace("${PORT:-8000}", "8000"))
    compose = compose_spec.PyOptions(apply_merge=True).from_yaml(filled)
    compose.validate()
    assert set(compose.service_names()) == {"web", "worker", "redis"}


def test_compose_bounds_every_service_and_asks_for_its_health():
    services = yaml.safe_load(COMPOSE)["services"]
    for name, service in services.items():
        assert service["mem_limit"].endswith("m")
        assert service["restart"] == "unless-stopped"
        assert "healthcheck" in service or (name == "web" and "HEALTHCHECK" in DOCKERFILE)
    for ours in ("web", "worker"):
        settings = {name: str(value) for name, value in services[ours]["environment"].items()}
        for name, value in settings.items():
            assert name.lower() in Settings.__dataclass_fields__
            settings[name] = re.sub(r"\$\{.*\}", "value", value)
        assert Settings.from_env(settings).celery_broker_url == "redis://redis:6379/0"
        assert services[ours]["volumes"] == services["web"]["volumes"]
    assert services["worker"]["command"] == PROCFILE["worker"].split()
    assert "${API_KEYS:?" in COMPOSE


def test_compose_gives_the_user_of_the_image_places_to_write():
    volumes = yaml.safe_load(COMPOSE)["services"]["web"]["volumes"]
    written = {str(volume).rpartition(":")[2] for volume in volumes}
    defaults = Settings()
    for directory in (defaults.data_dir, str(Path(defaults.tts_cache_dir).parent)):
        name = Path(directory).relative_to(PROJECT)
        assert f"/srv/{name}" in written
        assert re.search(rf"install -d -o speech .*\b{name}\b", DOCKERFILE)
    assert "/tmp" in written


def test_the_dockerfile_copies_what_is_here_and_the_builder_gets_no_more():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = {name for each in copied for name in each.split()}
    assert all((PROJECT / name).exists() for name in names)
    assert {f"!{name}" for name in names} <= set(ignored)
    assert "USER speech" in DOCKERFILE


def test_what_the_dockerfile_copies_is_enough(tmp_path):
    """Its steps after pip, in a directory that has nothing else."""
    for name in ("app", "wsgi.py", "gunicorn.conf.py"):
        source = PROJECT / name
        if source.is_dir():  # others may write bytecode meanwhile
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    (tmp_path / "models").symlink_to(Settings().model_dir)
    (steps,) = re.findall(r"^RUN .*compileall.*\\\n +&& (PYTHONOPTIMIZE=2 .*) \\$", DOCKERFILE, re.MULTILINE)
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'{steps.replace("/venv/bin/python", sys.executable)} && exec "$0" -m app models fetch',
            sys.executable,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    fetched = done.stdout.split()
    assert fetched[0] == str(tmp_path / "models" / "tiny.en")
    assert set(fetched[1:]) <= {str(tmp_path / "models" / "base")}


def test_the_health_check_of_the_image_tells_up_from_down(server):
    (command,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *rest = json.loads(command)
    for port, status in ((server.port, 0), (9, 1)):
        done = subprocess.run(
            [sys.executable, *rest], env={"PORT": str(port)}, capture_output=True, timeout=30
        )
        assert done.returncode == status


CI = {
    name: (PROJECT / name).read_text()
    for name in (".github/workflows/ci.yml", ".github/dependabot.yml", ".pre-commit-config.yaml", ".ci/run")
}


def test_continuous_integration_runs_everything_on_the_oldest_and_the_newest_python():
    """Their schemas are `make check`'s."""
    (job,) = yaml.safe_load(CI[".github/workflows/ci.yml"])["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.13"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)
    assert {"make test-all", "make check"} <= set(re.findall(r"make [\w-]+", CI[".ci/run"]))


def test_dependencies_are_looked_after_wherever_there_are_some():
    updates = yaml.safe_load(CI[".github/dependabot.yml"])["updates"]
    places = {
        place.strip("/") for each in updates for place in each.get("directories", [each.get("directory")])
    }
    assert {each["package-ecosystem"] for each in updates} == {"uv", "npm", "docker", "github-actions"}
    assert all((PROJECT / place).is_dir() for place in places)
    assert places >= {
        str(lock.parent.relative_to(PROJECT)) for lock in PROJECT.glob("tests/*/package-lock.json")
    }


@pytest.mark.parametrize("name", CI)
def test_nothing_there_is_secret_or_of_one_machine(name):
    assert not re.findall(r"secrets\.|(?<![\w.])/(?:home|root|work|srv|opt|Users)\b", CI[name])
    assert not re.findall(r"(?i)(?:token|password|api_key)\s*[:=]", CI[name])
