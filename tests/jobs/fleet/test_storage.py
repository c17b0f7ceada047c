"""Files of jobs where web and workers find them: a directory, or whatever fsspec has a name for."""

import io
import uuid

import pytest

from app.jobs.files import LocalFiles, SharedStorage

SOUND = b"sound" * 100_000


@pytest.fixture(params=["directory", "file", "memory"])
def files(request, tmp_path):
    if request.param == "directory":
        return LocalFiles(tmp_path / "jobs")
    root = {"file": f"file://{tmp_path}/jobs", "memory": f"memory://{uuid.uuid4()}"}[request.param]
    return SharedStorage(root)


def keep(files, id, data):
    with files.new_result(id) as output:
        output.write(data)


def read(files, id):
    with files.result(id) as result:
        return result.read()


def test_what_is_kept_comes_back(files):
    files.keep_recording("a", io.BytesIO(SOUND))
    with files.recording("a") as path, open(path, "rb") as recording:
        assert recording.read() == SOUND
    keep(files, "a", b"text")
    assert read(files, "a") == b"text"


def test_what_is_not_there_is_said_to_be_so(files):
    with pytest.raises(FileNotFoundError), files.recording("a"):
        pass
    with pytest.raises(FileNotFoundError):
        files.result("a")
    files.drop_recording("a")
    files.remove("a")


def test_a_result_that_was_not_finished_is_none(files):
    with pytest.raises(TypeError), files.new_result("a") as output:
        output.write("no bytes")
    with pytest.raises(FileNotFoundError):
        files.result("a")


def test_parts_read_the_recording_of_the_whole_and_leave_it_there(files):
    files.keep_recording("a", io.BytesIO(SOUND))
    with files.recording("a~1~0") as path, open(path, "rb") as recording:
        assert recording.read() == SOUND
    files.drop_recording("a~1~0")
    with files.recording("a"):
        pass
    files.drop_recording("a")
    with pytest.raises(FileNotFoundError), files.recording("a~1~0"):
        pass


def test_results_of_parts_are_their_own_and_go_with_the_whole(files):
    for id in ("a", "a~1~0", "a~1~1"):
        keep(files, id, id.encode())
    assert [read(files, id) for id in ("a", "a~1~0", "a~1~1")] == [b"a", b"a~1~0", b"a~1~1"]
    files.remove("a~1~0")
    assert read(files, "a") == b"a"
    files.remove("a")
    with pytest.raises(FileNotFoundError):
        files.result("a~1~1")
