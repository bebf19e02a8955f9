"""What people type for lengths of time, points and networks, parsed with an error that shows the right form."""

import re
from dataclasses import dataclass
from typing import Annotated

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")
_INTERVAL = re.compile(r"(?P<count>[0-9]{1,5})s?")
_WATCH = "--watch"
DEFAULT_INTERVAL = 2
"""Seconds between two looks of a command that watches."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    seconds: int


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """A network as one host knows it."""

    host: str
    network: str


def parse_duration(text: str) -> Duration:
    """Return what "30s", "5m", "24h" or "5d" means."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a length of time: write a whole number and s, m, h or d, "
            "as in 30s, 5m, 24h or 5d."
        )
    return Duration(int(match["count"]) * _UNITS[match["unit"]])


def parse_positive_duration(text: str) -> Duration:
    """Return what `parse_duration` does, but nothing of no length."""
    duration = parse_duration(text)
    if duration.seconds == 0:
        raise typer.BadParameter(f"{text!r} is no time at all: 1s is the least.")
    return duration


def parse_interval(text: str) -> int:
    """Return the seconds of "5" or "5s"."""
    match = _INTERVAL.fullmatch(text.strip())
    if match is None or int(match["count"]) == 0:
        raise typer.BadParameter(f"{text!r} is not a number of seconds, as in 5.")
    return int(match["count"])


def fill_in_interval(words: list[str]) -> list[str]:
    """Return a command line in which `--watch`, whose value may be left out, has one."""
    filled: list[str] = []
    for at, word in enumerate(words):
        if word == "--":
            return filled + words[at:]
        has_value = at + 1 < len(words) and _INTERVAL.fullmatch(words[at + 1])
        is_bare = word == _WATCH and not has_value
        filled.append(f"{_WATCH}={DEFAULT_INTERVAL}" if is_bare else word)
    return filled


def parse_retention(text: str) -> Duration:
    """Return a length of time that the vault can keep points for: whole hours."""
    duration = parse_duration(text)
    if duration.seconds % _UNITS["h"]:
        raise typer.BadParameter(f"{text!r}: retention counts in whole hours, as in 24h or 5d.")
    return duration


def parse_host_network(text: str) -> HostNetwork:
    """Return the two parts of "HOST/NETWORK"; a network's name may hold slashes, a host's not."""
    host, _, network = text.partition("/")
    if not host or not network:
        raise typer.BadParameter(
            f"{text!r} does not name a network of a host: write HOST/NETWORK, as in hv1/production."
        )
    return HostNetwork(host, network)


VmArgument = Annotated[str, typer.Argument(metavar="VM", help="The virtual machine's name or id.")]
HostArgument = Annotated[str, typer.Argument(metavar="NAME", help="The host's name or id.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Follow the job to its end, or only start it.")
]
TimeoutOption = Annotated[
    Duration | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        parser=parse_positive_duration,
        help="Wait no longer than this, as in 10m; the job goes on.",
    ),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")
]
ValidForOption = Annotated[
    Duration | None,
    typer.Option(
        "--valid-for",
        metavar="TIME",
        parser=parse_positive_duration,
        help="How long the line may be used, as in 24h; 5d unless given.",
    ),
]
ConfirmOption = Annotated[
    str | None,
    typer.Option(
        "--confirm", metavar="NAME", help="The name once more, for scripts: nobody is asked then."
    ),
]
