import pytest

from app.errors import InsufficientStorage
from app.files import nameless
from app.http.uploads import Upload


def test_a_full_disk_is_said_to_be_one():
    upload = Upload(1 << 20, open("/dev/full", "wb", buffering=0))  # noqa: SIM115 (closed by `close`)
    with pytest.raises(InsufficientStorage, match="full"):
        upload.write(b"a recording")
    upload.close()


def test_an_upload_has_no_name_and_what_was_written_can_be_read_at_its_path(tmp_path):
    upload = Upload(1 << 20, nameless(str(tmp_path)))
    upload.write(b"a recording")
    with open(upload.path, "rb") as file:
        assert file.read() == b"a recording"
    assert list(tmp_path.iterdir()) == []
    upload.close()
