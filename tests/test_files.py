import os
import stat

import pytest

from app.files import atomic_write, give_name, nameless


def test_it_has_no_name_until_it_is_given_one(tmp_path):
    with nameless(str(tmp_path)) as file:
        file.write(b"whole")
        assert list(tmp_path.iterdir()) == []
        give_name(file.fileno(), tmp_path / "named")
    assert (tmp_path / "named").read_bytes() == b"whole"
    assert os.stat(tmp_path / "named").st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_goes_to_the_new_file(tmp_path):
    (tmp_path / "named").write_bytes(b"old")
    with nameless(str(tmp_path)) as file:
        file.write(b"new")
        give_name(file.fileno(), tmp_path / "named")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_written_appears_whole_and_replaces_what_was_there(tmp_path, durable):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path, durable=durable) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail():
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_two_writers_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
