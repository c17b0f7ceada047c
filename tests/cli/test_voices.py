"""`voices`: what speaks here, and how it comes and goes."""

from .command import run


def fetched(directory) -> dict[str, str]:
    """The environment in which Kokoro's files are in *directory*; what is in them does not matter here."""
    (directory / "kokoro" / "voices").mkdir(parents=True)
    (directory / "kokoro" / "kokoro.onnx").touch()
    (directory / "kokoro" / "voices" / "ff_siwis.bin").touch()
    return {"MODEL_DIR": str(directory), "KOKORO": "true"}


def test_the_list_has_the_voices_of_a_language_with_their_quality(tmp_path):
    listed = run("voices", "list", "fr", **fetched(tmp_path)).stdout.decode().splitlines()
    lines = {line.split()[0]: line.split()[1:3] for line in listed}
    assert lines["kokoro:ff_siwis"] == ["fr", "natural"]
    assert lines["espeak:fr"] == ["fr-fr", "robotic"]
    assert "neural:heart" not in lines


def test_a_language_that_is_none_is_an_error():
    done = run("voices", "list", "klingon!")
    assert done.returncode == 1
    assert b"language" in done.stderr


def test_what_was_fetched_is_not_fetched_again_and_is_removed(tmp_path):
    environment = fetched(tmp_path)
    assert run("voices", "fetch", "kokoro", **environment).stdout.decode() == f"{tmp_path / 'kokoro'}\n"
    assert b"KOKORO=false" in run("voices", "fetch", "kokoro", **{**environment, "KOKORO": "false"}).stderr
    assert (
        run("voices", "remove", "kokoro", **environment).stdout.decode() == f"removed {tmp_path / 'kokoro'}\n"
    )
    assert list(tmp_path.iterdir()) == []
    again = run("voices", "remove", "kokoro", **environment)
    assert (again.returncode, b"no voices" in again.stderr) == (1, True)


def test_only_what_is_known_is_fetched():
    done = run("voices", "fetch", "piper")
    assert done.returncode == 2
    assert b"kokoro" in done.stderr
