"""`replikera check`: plug-ins for monitoring."""

from collections.abc import Sequence
from typing import Annotated

import typer

from replikera.cli.arguments import Duration, parse_positive_duration
from replikera.cli.client import VaultClient
from replikera.cli.connection import request
from replikera.cli.errors import NotFoundError
from replikera.cli.leaf import noun
from replikera.cli.paging import whole_list
from replikera.cli.plugin import Plugin, tell
from replikera.cli.records import records
from replikera.cli.rpo import Finding, Thresholds, examine, is_promised, not_found, result

app = noun("Plug-ins for monitoring: a line and an exit code.")


@app.callback()
def _check() -> None:
    """Keep the verb although there is one only."""


@app.command("rpo", cls=Plugin)
def rpo(
    context: typer.Context,
    vm: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VM",
            help="Virtual machines by name or id; all that are protected, unless given.",
        ),
    ] = None,
    *,
    warning: Annotated[
        Duration | None,
        typer.Option(
            "--warning",
            "-w",
            metavar="TIME",
            parser=parse_positive_duration,
            help="More lag than this is a warning, as in 90s; the promised RPO unless given.",
        ),
    ] = None,
    critical: Annotated[
        Duration | None,
        typer.Option(
            "--critical",
            "-c",
            metavar="TIME",
            parser=parse_positive_duration,
            help="More lag than this is critical, as in 5m; half as much again as the promised RPO unless given.",
        ),
    ] = None,
) -> None:
    """Compare the lag of virtual machines with their promised RPO.

    Ends with 0 for OK, 1 for WARNING, 2 for CRITICAL, 3 for UNKNOWN.
    """
    if warning is not None and critical is not None and warning.seconds > critical.seconds:
        raise typer.BadParameter("--warning is more than --critical.")
    thresholds = Thresholds(_seconds(warning), _seconds(critical))
    names = tuple(dict.fromkeys(vm or ()))
    found = request(context, lambda client: _findings(client, names, thresholds))
    raise typer.Exit(tell(context, result(found)))


async def _findings(
    client: VaultClient, names: Sequence[str], thresholds: Thresholds
) -> list[Finding]:
    if names:
        return [await _finding(client, name, thresholds) for name in names]
    answer = await whole_list(client, ("protections",), {})
    return [examine(item, thresholds) for item in records(answer, "items") if is_promised(item)]


async def _finding(client: VaultClient, name: str, thresholds: Thresholds) -> Finding:
    try:
        return examine(await client.get("protections", name), thresholds)
    except NotFoundError as error:
        return not_found(name, error.cause)


def _seconds(given: Duration | None) -> float | None:
    return None if given is None else float(given.seconds)
