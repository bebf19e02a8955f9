import io

import pytest
from rich.console import Console

from replikera.cli.disk_progress import disk_progress
from tests.unit.replikera.cli.running import FakeClock


def shown(*, is_terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=is_terminal, width=120)
    with disk_progress("web.vhdx", 4 << 20, FakeClock(), console) as advance:
        advance(1 << 20)
        advance(1 << 20)
    return text.getvalue()


def test_a_person_sees_how_far_it_is() -> None:
    text = shown(is_terminal=True)
    assert "web.vhdx" in text
    assert "2.0/4.0 MiB" in text


def test_a_log_sees_nothing() -> None:
    assert not shown(is_terminal=False)


def test_a_failure_goes_through() -> None:
    with pytest.raises(OSError, match="gone"), disk_progress("web.vhdx", 1, FakeClock()):
        raise OSError("gone")
