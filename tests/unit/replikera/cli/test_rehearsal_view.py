import io

import pytest
from rich.console import Console

from replikera.cli.rehearsal_view import guest, point, render_rehearsal


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "not asked"),
        ({"is_healthy": True}, "healthy"),
        ({"is_healthy": False}, "critical"),
        ({"is_healthy": None}, "unknown"),
        ({"is_healthy": "yes"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_guest_is_healthy_only_when_the_vault_says_so(found: object, text: str) -> None:
    assert guest({"guest": found}) == text


def test_a_point_that_is_missing_is_unknown() -> None:
    assert point({"point": {"sequence": 4}}) == "4"
    assert point({}) == "unknown"


def test_an_empty_answer_still_renders() -> None:
    sink = io.StringIO()
    Console(file=sink, width=80).print(render_rehearsal({}))
    assert "successful" in sink.getvalue()
    assert "DISK" not in sink.getvalue()
