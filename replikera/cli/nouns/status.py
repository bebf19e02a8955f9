"""`replikera status`: is anything at risk, and what to do about it."""

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from replikera.cli.connection import get
from replikera.cli.leaf import Leaf
from replikera.cli.output import output_of, properties, table
from replikera.cli.protection_view import advice, lag, last_test_failover, newest_point
from replikera.cli.records import Record, field, records
from replikera.cli.wording import age, plain

app = typer.Typer(add_completion=False, rich_markup_mode=None)
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


@app.command("status", cls=Leaf)
def status(context: typer.Context) -> None:
    """Is anything at risk, and what to do about it."""
    answer = get(context, "status")
    output = output_of(context)
    output.answer(answer, lambda: _render(answer))
    suggestion = _suggest(answer)
    if suggestion is not None:
        output.next(suggestion)


command = typer.main.get_command(app)


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
    return [
        ("vault", field(answer, "vault", "name") or answer.get("vault")),
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
    absent = [
        f"host {plain(host.get('name'))} was last seen {age(host.get('last_seen_at'), answer.get('now'))}"
        ". Start its agent, or look at its log."
        for host in records(answer, "hosts")
        if host.get("state") != "connected"
    ]
    ailing = [advice(protection) for protection in records(answer, "protections")]
    return absent + [text for text in ailing if text is not None]


def _suggest(answer: Record) -> str | None:
    """Return the command that brings this vault furthest."""
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
