"""What people type for recovery points and for times."""

from datetime import datetime
from typing import Annotated, Any

import typer


def parse_time(text: str) -> str:
    """Return a time as the vault takes it, if it is one with its zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} is not a time: write it with its zone, as in 2026-03-01T12:00:00Z or "
            "2026-03-01T13:00:00+01:00."
        )
    return moment.isoformat()


def parse_selector(text: str) -> str:
    """Return what stands for a recovery point; the vault knows which one is meant."""
    if not text or text != text.strip():
        raise typer.BadParameter(
            "Write latest, latest-processed, latest-application-consistent, a time with its zone, a "
            "number that `replikera point list VM` shows, or name: and the name of a point."
        )
    return text


def time_option(name: str, help_text: str) -> Any:  # noqa: ANN401 - Typer's option classes are private to it
    """Return an option that takes a time."""
    return typer.Option(name, metavar="TIME", parser=parse_time, help=help_text)


LATEST = "latest"
_MEANING = (
    "latest, latest-processed (the newest one that its target has applied), "
    "latest-application-consistent, a time (the newest point that holds nothing newer), a point's number "
    "or id, or name:NAME."
)
PointArgument = Annotated[
    str, typer.Argument(metavar="POINT", parser=parse_selector, help=_MEANING)
]
PointOption = Annotated[
    str, typer.Option("--point", metavar="POINT", parser=parse_selector, help=_MEANING)
]
