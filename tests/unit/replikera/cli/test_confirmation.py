import io
import sys

import pytest
from typing_extensions import override

from replikera.cli.confirmation import confirm
from replikera.cli.errors import DeclinedError, ExitCode


class Keyboard(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def at_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> Keyboard:
    screen = Keyboard()
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_the_name_as_an_option_is_enough() -> None:
    confirm("hv1", "hv1", "It ends")


@pytest.mark.parametrize("given", ["", "hv2", "HV1", "hv1 "])
def test_another_name_is_a_refusal(given: str) -> None:
    with pytest.raises(DeclinedError, match="nothing was done") as caught:
        confirm("hv1", given, "It ends")
    assert caught.value.exit_code is ExitCode.NOT_DONE


def test_without_a_terminal_and_an_option_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hv1\n"))
    with pytest.raises(DeclinedError, match="It ends. Nobody is here to confirm it") as caught:
        confirm("hv1", None, "It ends")
    assert caught.value.remedy == "In scripts, give --confirm hv1"


def test_at_a_terminal_the_name_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = at_terminal(monkeypatch, "hv1\n")
    confirm("hv1", None, "It ends")
    assert screen.getvalue() == "It ends.\nType hv1 to go on: "


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "hv2\n"])
def test_anything_else_at_a_terminal_declines(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    at_terminal(monkeypatch, typed)
    with pytest.raises(DeclinedError):
        confirm("hv1", None, "It ends")
