"""A line of the log is one line, whatever is in it."""

import io
import json
import logging
import os
import re

import pytest

from app import logs

NASTY = [
    "a\nINFO app forged=1",
    "a\r\nb",
    "\x1b[2J\x1b[31mred",
    "\x00",
    "\x85 next line",
    "\u2028 separated",
    "\u202e reordered",
    "\ud800 lone",
    "\x9b31m",
    "\t tab",
]


@pytest.fixture(params=[logs.Text, logs.Json], ids=["text", "json"])
def written(request):
    """A logger and all it wrote."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(request.param())
    logger = logging.Logger("app.test")
    logger.addHandler(handler)
    return logger, output


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_ends_a_line_or_steers_a_terminal(written, nasty):
    logger, output = written
    logger.info("file=%s", nasty)
    line = output.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    line.encode()


@pytest.mark.parametrize("nasty", NASTY)
def test_an_exception_is_one_line_too(written, nasty):
    logger, output = written
    try:
        raise ValueError(nasty)
    except ValueError:
        logger.exception("failed")
    assert output.getvalue()[:-1].isprintable()
    assert "ValueError" in output.getvalue()


def test_json_can_be_read_and_has_what_was_said(written):
    logger, output = written
    logger.warning("engine=%s %s", "whisper", 'a "quote" and a \n')
    if output.getvalue().startswith("{"):
        line = json.loads(output.getvalue())
        assert line["message"] == 'engine=whisper a "quote" and a \n'
        assert (line["level"], line["logger"], line["request_id"]) == ("warning", "app.test", "-")


def test_the_request_is_named_in_lines_from_rooms_that_know_none(written):
    logger, output = written
    token = logs.request_id.set("abc-1")
    logger.info("engine=whisper started")
    logs.request_id.reset(token)
    logger.info("engine=whisper ended")
    first, second = output.getvalue().splitlines()
    assert "abc-1" in first
    assert "abc-1" not in second


def test_the_start_up_lines_are_not_changed():
    record = logging.makeLogRecord(
        {"name": "app", "levelname": "INFO", "msg": "🎯 Memory-optimized mode active"}
    )
    assert logs.Text().format(record).endswith("🎯 Memory-optimized mode active")


def test_a_request_is_one_line_of_keys_and_values(caplog):
    with caplog.at_level(logging.INFO, "app.requests"):
        logs.log_request(logs.RequestRecord("GET", "/health", 200, "id", 0.0123, 0, 57))
        logs.log_request(
            logs.RequestRecord("GET", "/v1/models", 429, "id", 0.0123, code="rate_limit_exceeded")
        )
    assert caplog.messages == [
        "method=GET route=/health status=200 ms=12.3 in=0 out=57",
        "method=GET route=/v1/models status=429 ms=12.3 in=0 out=0 code=rate_limit_exceeded",
    ]


def test_lines_are_written_at_once_and_whole():
    read, write = os.pipe()
    output = logs.Lines(logs.Text(), write)
    output.handle(
        logging.makeLogRecord({"name": "app", "levelname": "INFO", "msg": "a\nb %s", "args": ("\ud800",)})
    )
    output.write("second")
    os.close(write)
    with open(read) as lines:
        first, second = lines.read().splitlines()
    assert first.endswith("INFO app request_id=- a\\nb \\ud800")
    assert second == "second"


def test_an_output_that_is_gone_stops_nobody():
    read, write = os.pipe()
    os.close(read)
    logs.Lines(logs.Text(), write).write("nobody reads this")
    os.close(write)


def test_lines_are_written_without_a_lock():
    """Python 3.13's handlers insist on one."""
    reading, writing = os.pipe()
    logger = logging.Logger("app.test")
    logger.addHandler(logs.Lines(logs.Text(), writing))
    logger.warning("Hello.")
    os.close(writing)
    with os.fdopen(reading) as output:
        assert output.read().endswith("WARNING app.test request_id=- Hello.\n")


def test_a_requests_line_is_deferred_to_the_end_of_the_turn_and_stays_in_order(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(logging.root, "handlers", [logs.Lines(logs.Text(), writing)])
    monkeypatch.setattr(logging.root, "level", logging.INFO)

    def answered(route):
        logs.log_request(logs.RequestRecord("GET", route, 200, "id"))

    def written():
        try:
            return re.findall(r"route=(\S+)|app.test request_id=- (\w+)", os.read(reading, 65536).decode())
        except BlockingIOError:
            return []

    answered("/at-once")
    assert written() == [("/at-once", "")]
    logs.write_deferred(more=True)
    answered("/a")
    answered("/b")
    assert written() == []
    logs.write_deferred(more=True)
    assert written() == [("/a", ""), ("/b", "")]
    answered("/c")
    logging.getLogger("app.test").warning("between")
    assert written() == [("/c", ""), ("", "between")]
    answered("/d")
    logs.write_deferred(more=False)
    answered("/e")
    assert written() == [("/d", ""), ("/e", "")]
    os.close(reading)
    os.close(writing)
