"""Plug-ins for monitoring, by the convention of Nagios and Icinga.

One line, `SERVICE STATE - text|performance data`, and an exit code that is the state. Whatever keeps a plug-in from
looking, wrong usage too, is UNKNOWN: never a code that means something else to who reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import typer
from typing_extensions import override

from replikera.cli.errors import CommandError
from replikera.cli.leaf import Leaf
from replikera.cli.output import output_of
from replikera.cli.wording import printable

# Typer has no name of its own for what all wrong usage is.
_WRONG_USAGE: Any = typer.BadParameter.__base__


class PluginState(IntEnum):
    """What is told; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_WORST_FIRST = (
    PluginState.CRITICAL,
    PluginState.WARNING,
    PluginState.UNKNOWN,
    PluginState.OK,
)


@dataclass(frozen=True, slots=True)
class Datum:
    """A measured number of seconds and above what it is bad; None for what is not known."""

    label: str
    seconds: float | None
    warning: float | None
    critical: float | None

    def performance_data(self) -> str:
        """Return it as the convention has it; what is not known is `U`."""
        value = "U" if self.seconds is None else f"{_number(self.seconds)}s"
        return f"{_label(self.label)}={value};{_number(self.warning)};{_number(self.critical)};0"


@dataclass(frozen=True, slots=True)
class Result:
    """What a plug-in found, in a line."""

    state: PluginState
    text: str
    data: tuple[Datum, ...] = ()

    def line(self, service: str) -> str:
        """Return the whole line."""
        said = f"{service} {self.state.name} - {_text(self.text)}"
        return (
            f"{said}|{' '.join(datum.performance_data() for datum in self.data)}"
            if self.data
            else said
        )

    def document(self, service: str) -> dict[str, object]:
        """Return the same for programs."""
        return {
            "service": service,
            "state": self.state.name,
            "text": self.text,
            "data": [
                {
                    "label": datum.label,
                    "seconds": datum.seconds,
                    "warning": datum.warning,
                    "critical": datum.critical,
                }
                for datum in self.data
            ],
        }


def worst(states: Iterable[PluginState]) -> PluginState:
    """Return the state that describes them all: what is bad for certain comes before what is not known."""
    found = set(states)
    return next((state for state in _WORST_FIRST if state in found), PluginState.UNKNOWN)


class Plugin(Leaf):
    """A command that is a plug-in: its name is the service's."""

    @override
    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override] # as in leaf.py
        try:
            parsed: list[str] = super().parse_args(ctx, args)
        except _WRONG_USAGE as error:
            raise typer.Exit(self._unknown(ctx, error.format_message())) from error
        return parsed

    @override
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # as in leaf.py
        try:
            return super().invoke(ctx)
        except _WRONG_USAGE as error:
            raise typer.Exit(self._unknown(ctx, error.format_message())) from error

    @override
    def _report(self, ctx: typer.Context, error: CommandError) -> int:
        return self._unknown(ctx, f"{error.cause.rstrip('.')}. {error.remedy.rstrip('.')}.")

    def _unknown(self, ctx: typer.Context, cause: str) -> int:
        return tell(ctx, Result(PluginState.UNKNOWN, cause))


def tell(context: typer.Context, result: Result) -> int:
    """Write what was found and return the exit code."""
    service = str(context.info_name).upper()
    output_of(context).line(result.document(service), result.line(service))
    return result.state


def _text(text: str) -> str:
    """Return text without what ends it for who reads the line."""
    return " ".join(printable(line) for line in text.splitlines()).replace("|", "/")


def _label(label: str) -> str:
    safe = printable(label).replace("=", "_").replace("|", "_").replace("'", "''")
    return f"'{safe}'"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".")
