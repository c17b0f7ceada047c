import os

from app.files import give_name, nameless


def test_it_has_no_name_until_it_is_given_one(tmp_path):
    with nameless(str(tmp_path)) as file:
        file.write(b"whole")
        assert list(tmp_path.iterdir()) == []
        give_name(file.fileno(), tmp_path / "named")
    assert (tmp_path / "named").read_bytes() == b"whole"
    assert os.stat(tmp_path / "named").st_mode & 0o777 == 0o600
