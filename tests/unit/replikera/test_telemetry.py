"""Logs are JSON lines on standard error."""

import json

import pytest
import structlog

from replikera.telemetry import configure_logging


def test_an_event_is_one_json_line_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        log = structlog.get_logger()
        log.debug("too quiet")
        log.info("point sealed", sequence=3)
    finally:
        structlog.reset_defaults()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["sequence"], event["level"]) == ("point sealed", 3, "info")


def test_an_error_tells_where_it_came_from_and_no_content_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    try:
        fail("a registration " + "key")
    except ValueError:
        structlog.get_logger().exception("call failed")
    finally:
        structlog.reset_defaults()
    (line,) = capsys.readouterr().err.splitlines()
    assert "fail" in line
    assert "a registration key" not in line


def fail(secret: str) -> None:
    raise ValueError(f"of {len(secret)} characters")
