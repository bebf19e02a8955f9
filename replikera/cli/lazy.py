"""Commands whose code is loaded when they run: help must not wait for HTTP and tables."""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typing_extensions import override


class LazyGroup(TyperGroup):
    """Nouns listed with their help, and loaded from `module:attribute` when one of them is called."""

    sources: ClassVar[dict[str, str]] = {}

    @override
    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[Any, Any, Any]:  # type: ignore[override] # Typer's base class is private to it
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.sources:
            command = load(self.sources[name])
            command.name = name
        return name, command, rest


def load(source: str) -> Any:  # noqa: ANN401 - Typer's command classes are private to it
    """Return the command at `module:attribute`; a Typer application there stands for a group of verbs."""
    module, _, attribute = source.partition(":")
    found = getattr(import_module(module), attribute)
    return typer.main.get_group(found) if isinstance(found, typer.Typer) else found


def installed_version() -> str:
    """Return the version of this distribution."""
    version: str = import_module("importlib.metadata").version("replikera")
    return version
