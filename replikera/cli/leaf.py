"""What every command has beside its own arguments: the global options, and failures that become exit codes."""

import functools
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from replikera.cli.errors import CommandError, ExitCode
from replikera.cli.invocation import Invocation, OutputFormat, invocation_of
from replikera.cli.wording import printable


def _set_format(context: typer.Context, value: OutputFormat | None) -> None:
    if value is not None:
        invocation_of(context).output_format = value


def _set_profile(context: typer.Context, value: Path | None) -> None:
    if value is not None:
        invocation_of(context).profile_folder = value


OutputOption = Annotated[
    OutputFormat | None,
    typer.Option(
        "--output",
        "-o",
        callback=_set_format,
        expose_value=False,
        help="table for people, json for programs.",
    ),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="DIR",
        callback=_set_profile,
        expose_value=False,
        help="Folder with the operator's certificate and profile.json (also REPLIKERA_PROFILE).",
    ),
]


class Leaf(TyperCommand):
    """A command that does something. `-o` and `--profile` are understood before and after its name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - Typer's own, passed through
        super().__init__(*arguments, **settings)
        self.params.extend(_global_options())

    @override
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # Typer's base class is private to it
        try:
            return super().invoke(ctx)
        except CommandError as error:
            report_failure(invocation_of(ctx), error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interruption:
            raise typer.Exit(ExitCode.INTERRUPTED) from interruption


@functools.cache
def _global_options() -> tuple[Any, ...]:
    template = typer.Typer(add_completion=False)

    @template.command()
    def command(_output: OutputOption = None, _profile: ProfileOption = None) -> None:
        pass

    return tuple(typer.main.get_command(template).params)


def report_failure(invocation: Invocation, error: CommandError) -> None:
    """Write a failure to standard error: a problem document for programs, cause and remedy for people."""
    if invocation.output_format is OutputFormat.JSON:
        typer.echo(json.dumps(error.problem(), indent=2), err=True)
        return
    typer.echo(f"error: {_sentence(error.cause)}", err=True)
    for detail in _details(error):
        typer.echo(f"  {detail}", err=True)
    if error.remedy:
        typer.echo(f"remedy: {_sentence(error.remedy)}", err=True)


def _sentence(text: str) -> str:
    return printable(text.rstrip(".")) + "."


def _details(error: CommandError) -> list[str]:
    listed = (error.document or {}).get("errors")
    if not isinstance(listed, list):
        return []
    return [
        printable(f"{item.get('pointer', '')}: {item.get('detail', '')}")
        for item in listed
        if isinstance(item, dict) and item.get("detail") != error.cause
    ]


def noun(help_text: str) -> typer.Typer:
    """Return the application of a noun, to hang its verbs on with `@app.command("verb", cls=Leaf)`."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
