"""Asking before something is done that cannot be taken back."""

import sys

import typer

from replikera.cli.errors import DeclinedError


def confirm(name: str, given: str | None, consequence: str) -> None:
    """Return when `name` was given once more, as an option or at the terminal. Raises `DeclinedError`.

    `consequence` is a sentence that ends without a full stop.
    """
    if given is None:
        given = _ask(name, consequence)
    if given != name:
        raise DeclinedError(
            "not-confirmed",
            f"{given!r} is not {name!r}: nothing was done",
            f"Give {name} exactly, if that is what you mean",
        )


def _ask(name: str, consequence: str) -> str:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise DeclinedError(
            "not-confirmed",
            f"{consequence}. Nobody is here to confirm it: nothing was done",
            f"In scripts, give --confirm {name}",
        )
    typer.echo(f"{consequence}.", err=True)
    typer.echo(f"Type {name} to go on: ", nl=False, err=True)
    return sys.stdin.readline().strip()
