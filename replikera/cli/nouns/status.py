"""`replikera status`: is anything at risk, and what to do about it."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from replikera.cli.errors import ExitCode
from replikera.cli.invocation import invocation_of
from replikera.cli.leaf import Viewing
from replikera.cli.output import output_of, properties, table
from replikera.cli.protection_view import advice, lag, last_test_failover, newest_point
from replikera.cli.records import Record, records
from replikera.cli.watching import view
from replikera.cli.wording import age, number, plain

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_RECONCILING = "reconciling"
_COLUMNS = (
    "vm",
    "source",
    "target",
    "state",
    "health",
    "lag",
    "newest point",
    "last test failover",
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
    if answer.get("health") not in {"healthy", "not-applicable"}:
        return ExitCode.FAILED
    return 0 if number(answer.get("jobs_running")) == 0 else ExitCode.PENDING


def _render(answer: Record) -> RenderableType:
    parts = [properties(_pairs(answer))]
    protections = records(answer, "protections")
    if protections:
        parts += [Group(""), table(_COLUMNS, [_row(protection) for protection in protections])]
    actions = _actions(answer)
    if actions:
        parts += [Group(""), *(Text(f"action: {action}") for action in actions)]
    return Group(*parts)


def _pairs(answer: Record) -> list[tuple[str, object]]:
    hosts = records(answer, "hosts")
    connected = sum(1 for host in hosts if host.get("state") == "connected")
    mode = [("mode", answer["mode"])] if answer.get("mode") == _RECONCILING else []
    return [
        ("vault", answer.get("vault")),
        *mode,
        ("health", answer.get("health")),
        ("hosts", f"{connected} of {len(hosts)} connected" if "hosts" in answer else None),
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
        newest_point(protection),
        last_test_failover(protection),
    )


def _actions(answer: Record) -> list[str]:
    reconciling = [
        "the vault was restored and waits for its hosts to report; see whom it misses with "
        "`replikera vault show`."
    ]
    found = reconciling if answer.get("mode") == _RECONCILING else []
    found += [
        _host_action(host, answer.get("now"))
        for host in records(answer, "hosts")
        if host.get("state") != "connected"
    ]
    ailing = [advice(protection) for protection in records(answer, "protections")]
    return found + [text for text in ailing if text is not None]


def _host_action(host: Record, now: object) -> str:
    told = advice(host)
    if told is not None:
        return f"host {told}"
    seen = age(host.get("last_seen_at"), now)
    return (
        f"host {plain(host.get('name'))} was last seen {seen}. Start its agent, or look at its log."
    )


def _suggest(answer: Record) -> str | None:
    """Return the command that brings this vault furthest."""
    if answer.get("mode") == _RECONCILING:
        return "replikera vault show"
    if not records(answer, "hosts"):
        return "replikera host invite --site SITE"
    protections = records(answer, "protections")
    if not protections:
        return "replikera vm list"
    for protection in protections:
        if protection.get("health") not in {"healthy", "not-applicable"}:
            return f"replikera protection show {plain(protection.get('name'))}"
    for protection in protections:
        if protection.get("test_failover") is None and protection.get("state") == "protected":
            return f"replikera test-failover start {plain(protection.get('name'))} --wait"
    return None
