"""What every command has beside its own arguments: the global options, and failures that become exit codes."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from replikera.cli.arguments import DEFAULT_INTERVAL, fill_in_interval, parse_interval
from replikera.cli.documents import dump
from replikera.cli.errors import CommandError, ExitCode
from replikera.cli.invocation import Invocation, OutputFormat, invocation_of
from replikera.cli.wording import printable


def _set_format(context: typer.Context, value: OutputFormat | None) -> None:
    if value is not None:
        invocation_of(context).output_format = value


def _set_profile(context: typer.Context, value: Path | None) -> None:
    if value is not None:
        invocation_of(context).profile_folder = value


def _set_interval(context: typer.Context, value: int | None) -> None:
    invocation_of(context).watch_seconds = value


def _set_limit(context: typer.Context, value: int | None) -> None:
    invocation_of(context).limit = value


OutputOption = Annotated[
    OutputFormat | None,
    typer.Option(
        "--output",
        "-o",
        callback=_set_format,
        expose_value=False,
        help="table for people, json or yaml for programs.",
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
_WatchOption = Annotated[
    int | None,
    typer.Option(
        "--watch",
        metavar="[SECONDS]",
        parser=parse_interval,
        callback=_set_interval,
        expose_value=False,
        help=f"Look again and again, every {DEFAULT_INTERVAL} seconds unless told, until Ctrl-C.",
    ),
]
_LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        callback=_set_limit,
        expose_value=False,
        help="Show no more than this many; all unless given.",
    ),
]


class Leaf(TyperCommand):
    """A command that does something. `-o` and `--profile` are understood before and after its name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - Typer's own, passed through
        super().__init__(*arguments, **settings)
        self.params.extend(self._more_options())

    def _more_options(self) -> Sequence[Any]:
        return _global_options()

    @override
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # Typer's base class is private to it
        try:
            return super().invoke(ctx)
        except CommandError as error:
            raise typer.Exit(self._report(ctx, error)) from error
        except KeyboardInterrupt as interruption:
            raise typer.Exit(ExitCode.INTERRUPTED) from interruption

    def _report(self, ctx: typer.Context, error: CommandError) -> int:
        """Tell of a failure and return the exit code."""
        report_failure(invocation_of(ctx), error)
        return error.exit_code


class Founding(Leaf):
    """A command with a `--profile` of its own for a new profile; the one it works with is named before the noun."""

    @override
    def _more_options(self) -> Sequence[Any]:
        return tuple(option for option in super()._more_options() if "--profile" not in option.opts)


class Viewing(Leaf):
    """A command that shows something and changes nothing: with `--watch` again and again."""

    @override
    def _more_options(self) -> Sequence[Any]:
        return (*_watch_option(), *super()._more_options())

    @override
    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override] # as above
        parsed: list[str] = super().parse_args(ctx, fill_in_interval(args))
        return parsed


class Listing(Viewing):
    """A command that shows a list."""

    @override
    def _more_options(self) -> Sequence[Any]:
        return (*_limit_option(), *super()._more_options())


@functools.cache
def _global_options() -> tuple[Any, ...]:
    template = typer.Typer(add_completion=False)

    @template.command()
    def command(_output: OutputOption = None, _profile: ProfileOption = None) -> None:
        pass

    return tuple(typer.main.get_command(template).params)


@functools.cache
def _watch_option() -> tuple[Any, ...]:
    template = typer.Typer(add_completion=False)

    @template.command()
    def command(_watch: _WatchOption = None) -> None:
        pass

    return tuple(typer.main.get_command(template).params)


@functools.cache
def _limit_option() -> tuple[Any, ...]:
    template = typer.Typer(add_completion=False)

    @template.command()
    def command(_limit: _LimitOption = None) -> None:
        pass

    return tuple(typer.main.get_command(template).params)


def report_failure(invocation: Invocation, error: CommandError) -> None:
    """Write a failure to standard error: a problem document for programs, cause and remedy for people."""
    if invocation.output_format.is_for_programs:
        typer.echo(dump(error.problem(), invocation.output_format), err=True)
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
