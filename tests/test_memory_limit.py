"""
The service in a memory control group without swap: nothing is killed, everything is answered.

Groups can be made by root, on a machine that lets them be made; elsewhere these tests are skipped, and say why.
`make bench` does the same with an hour's recording.
"""

import threading

import pytest

from benchmarks.cgroup import Load, MemoryGroup
from benchmarks.recordings import CLIP, long_recording
from benchmarks.service import Service, ServiceStopped

pytestmark = [pytest.mark.alone, pytest.mark.long]
ANSWERS = {"200", "503 with Retry-After"}


@pytest.fixture(scope="module")
def recording():
    return long_recording(1)


@pytest.fixture
def group(request):
    try:
        with MemoryGroup(request.param) as group:
            yield group
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")


@pytest.mark.parametrize("group", [512], indirect=True)
def test_in_512_mb_a_long_recording_and_eight_clients_are_all_answered(group, recording):
    with Service(command_prefix=group.command_prefix) as service:
        load = Load(service, recording, limit_seconds=120)
        load.run()
    assert set(load.statuses) <= ANSWERS
    assert load.statuses["200"] > 8
    assert load.wrong_texts == 0
    assert group.kills == 0


@pytest.mark.parametrize("group", [256], indirect=True)
def test_in_256_mb_it_works_or_says_at_the_start_that_it_can_not(group, recording):
    said = ""
    try:
        with Service(command_prefix=group.command_prefix) as service:
            load = Load(service, recording, limit_seconds=120)
            load.run()
            assert set(load.statuses) <= ANSWERS
            assert load.wrong_texts == 0
    except ServiceStopped as stopped:
        said = str(stopped)
    assert not said or "MEMORY_BUDGET_MB" in said
    assert group.kills == 0


@pytest.mark.parametrize("group", [512], indirect=True)
def test_in_512_mb_both_directions_at_once_take_turns(group):
    answers = []
    with Service(
        {"TTS_ENGINE": "neural", "TTS_CACHE_MB": "0"}, command_prefix=group.command_prefix
    ) as service:
        for number in range(5):
            said = f"This is the announcement with the number {number}. It is spoken while another is heard."
            speaking = threading.Thread(target=lambda text=said: answers.append(service.speak(text=text)))
            speaking.start()
            answers.append(service.transcribe(CLIP.path))
            speaking.join()
    assert [answer.status for answer in answers] == [200] * 10
    assert group.kills == 0
