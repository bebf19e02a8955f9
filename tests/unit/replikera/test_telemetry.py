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
