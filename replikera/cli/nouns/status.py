"""`replikera status`: is anything at risk, and what to do about it."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from replikera.cli.actions import actions, proof_command
from replikera.cli.errors import ExitCode
from replikera.cli.invocation import invocation_of
from replikera.cli.leaf import Viewing
from replikera.cli.output import output_of, properties, table
from replikera.cli.protection_view import (
    failover_now,
    hindrance,
    lag,
    last_proved,
    last_test_failover,
)
from replikera.cli.records import Record, records
from replikera.cli.risk import RECONCILING, WELL, at_risk, by_text, some
from replikera.cli.risk import failover_now as could_fail_over
from replikera.cli.watching import view
from replikera.cli.wording import number, plain

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_COLUMNS = (
    "vm",
    "source",
    "target",
    "state",
    "health",
    "lag",
    "failover now",
    "last proved",
    "test failover",
)


@app.command("status", cls=Viewing)
def status(
    context: typer.Context,
    *,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="End with 1 when anything is at risk or unknown, with 8 while jobs run, else with 0.",
        ),
    ] = False,
) -> None:
    """Is anything at risk, and what to do about it."""
    if exit_code and invocation_of(context).watch_seconds is not None:
        raise typer.BadParameter("--exit-code is for one look, --watch for many.")
    output = output_of(context)

    def present(answer: Record) -> None:
        output.answer(answer, lambda: _render(answer))
        suggestion = _suggest(answer)
        if suggestion is not None:
            output.next(suggestion)
        if exit_code:
            raise typer.Exit(_exit_code(answer))

    view(context, lambda client: client.get("status"), present)


command = typer.main.get_command(app)


def _exit_code(answer: Record) -> int:
    if answer.get("health") not in WELL:
        return ExitCode.FAILED
    return 0 if number(answer.get("jobs_running")) == 0 else ExitCode.PENDING


def _render(answer: Record) -> RenderableType:
    parts = [properties(_pairs(answer))]
    protections = records(answer, "protections")
    if protections:
        parts += [Group(""), table(_COLUMNS, [_row(protection) for protection in protections])]
    for kind, lines in (("failover now", _hindrances(protections)), ("action", actions(answer))):
        if lines:
            parts += [Group(""), *(Text(f"{kind}: {line}") for line in lines)]
    return Group(*parts)


def _pairs(answer: Record) -> list[tuple[str, object]]:
    hosts = records(answer, "hosts")
    connected = sum(1 for host in hosts if host.get("state") == "connected")
    mode = [("mode", answer["mode"])] if answer.get("mode") == RECONCILING else []
    protections = records(answer, "protections")
    return [
        ("vault", answer.get("vault")),
        *mode,
        ("at risk", at_risk(answer)),
        ("health", answer.get("health")),
        ("hosts", f"{connected} of {len(hosts)} connected" if "hosts" in answer else None),
        *([("could fail over", could_fail_over(answer))] if protections else []),
        ("jobs running", answer.get("jobs_running")),
    ]


def _row(protection: Record) -> tuple[object, ...]:
    return (
        protection.get("name"),
        protection.get("source_host"),
        protection.get("target_host"),
        protection.get("state"),
        protection.get("health"),
        lag(protection),
        failover_now(protection),
        last_proved(protection),
        last_test_failover(protection),
    )


def _hindrances(protections: list[Record]) -> list[str]:
    """Return why machines cannot be failed over now, or why nobody can tell, a line for each reason."""
    concerned = by_text((hindrance(protection), protection) for protection in protections)
    return [f"{some(names)}: {text}" for text, names in concerned.items()]


def _suggest(answer: Record) -> str | None:
    """Return the command that brings this vault furthest."""
    if answer.get("mode") == RECONCILING:
        return "replikera vault show"
    if not records(answer, "hosts"):
        return "replikera host invite --site SITE"
    protections = records(answer, "protections")
    if not protections:
        return "replikera vm list"
    for protection in protections:
        if protection.get("health") not in WELL:
            return f"replikera protection show {plain(protection.get('name'))}"
    for protection in protections:
        command_to_prove = proof_command(protection, answer.get("now"))
        if command_to_prove is not None:
            return command_to_prove
    return None
