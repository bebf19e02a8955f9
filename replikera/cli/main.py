"""The program `replikera`: its global options and its nouns."""

from pathlib import Path
from typing import Annotated, ClassVar

import typer

from replikera.cli.invocation import Invocation, invocation_of
from replikera.cli.lazy import LazyGroup, installed_version
from replikera.cli.leaf import OutputOption

_NOUNS = {
    "status": "Is anything at risk, and what to do about it.",
    "check": "Plug-ins for monitoring: a line and an exit code.",
    "vault": "The vault: see it, back it up, bring it back.",
    "site": "Sites: where hosts are.",
    "cloud": "Clouds: groups of hosts at a site.",
    "host": "Hypervisor hosts: invite, list, trust them no more.",
    "key": "Registration keys that hosts join with.",
    "vm": "Virtual machines that the hosts report.",
    "network": "Networks that the hosts report.",
    "policy": "How often to copy, and how long to keep recovery points.",
    "network-mapping": "Networks here and their counterparts there.",
    "storage-mapping": "Storage here and the folders for it there.",
    "protection": "Virtual machines replicated to another host.",
    "point": "Recovery points of a protected virtual machine.",
    "test-failover": "Recover a machine beside the running one.",
    "job": "Long work of the vault: see it, follow it, cancel it.",
    "event": "What happened in this vault.",
    "audit": "Who did what, and whether the record of it is whole.",
    "operator": "Operators: who may ask this vault, and what for.",
    "disk": "VHDX files here: show, check, export, create.",
    "lab": "Two sites on this machine, to try everything.",
}


def _source(name: str) -> str:
    if name == "lab":
        return "replikera.lab.commands:app"
    module = {"test-failover": "rehearsal"}.get(name, name.replace("-", "_"))
    attribute = "command" if name == "status" else "app"
    return f"replikera.cli.nouns.{module}:{attribute}"


class _Nouns(LazyGroup):
    sources: ClassVar[dict[str, str]] = {name: _source(name) for name in _NOUNS}


app = typer.Typer(
    name="replikera",
    cls=_Nouns,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for _name, _help in _NOUNS.items():
    app.add_typer(typer.Typer(help=_help, rich_markup_mode=None), name=_name)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"replikera {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile",
            metavar="DIR",
            envvar="REPLIKERA_PROFILE",
            help="Folder with the operator's certificate and profile.json.",
        ),
    ] = None,
    _output: OutputOption = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            expose_value=False,
            help="Show the version and stop.",
        ),
    ] = False,
) -> None:
    """Disaster recovery between two Hyper-V sites, from your own vault."""
    invocation_of(context).profile_folder = profile


def main() -> None:
    """Run the program with the arguments of this process."""
    app(obj=Invocation())
