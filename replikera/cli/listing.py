"""Lists: the vault's items under headings, or a word that there are none."""

from collections.abc import Callable, Sequence

import typer

from replikera.cli.client import Query
from replikera.cli.invocation import invocation_of
from replikera.cli.output import output_of, table
from replikera.cli.paging import whole_list
from replikera.cli.records import Record, records
from replikera.cli.watching import view


def present_list(
    context: typer.Context,
    *path: str,
    query: Query | None = None,
    columns: Sequence[str],
    row: Callable[[Record], Sequence[object]],
    none: str,
    next_when_none: str,
    next_command: str | None = None,
) -> None:
    """Write the list at a path, all its pages; people are told in words when it is empty. Raises `CommandError`."""
    output = output_of(context)
    limit = invocation_of(context).limit

    def present(answer: Record) -> None:
        items = records(answer, "items")
        if not items and not output.is_for_programs:
            output.message(none)
            output.next(next_when_none)
            return
        output.answer(answer, lambda: table(columns, [row(item) for item in items]))
        if answer.get("next_cursor") is not None:
            output.message(f"These are the first {len(items)}; there are more.")
        if next_command is not None:
            output.next(next_command)

    view(context, lambda client: whole_list(client, path, query or {}, limit), present)
