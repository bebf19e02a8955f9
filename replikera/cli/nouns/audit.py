"""`replikera audit`: who did what, and whether the record of it is whole."""

import re
from typing import Annotated

import typer

from replikera.cli.audit import START, Place, Verified, verify_audit_log
from replikera.cli.connection import request
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, properties
from replikera.cli.records import Record
from replikera.cli.wording import instant

app = noun("Who did what, and whether the record of it is whole.")
_DIGEST = re.compile(r"[0-9a-f]{64}")
AfterOption = Annotated[
    int, typer.Option("--after", metavar="NUMBER", min=0, help="Only later lines.")
]


@app.command("list", cls=Listing)
def list_lines(context: typer.Context, after: AfterOption = 0) -> None:
    """List who did what, oldest first."""
    present_list(
        context,
        "audit",
        query={"after": after},
        columns=("number", "time", "actor", "kind", "detail", "subject"),
        row=_row,
        none="The audit log has no line there.",
        next_when_none="replikera audit list",
        next_command="replikera audit verify",
    )


@app.command("verify", cls=Leaf)
def verify(
    context: typer.Context,
    *,
    after: AfterOption = 0,
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="HEX", help="The digest that was kept for that line."),
    ] = None,
) -> None:
    """Check here that every line follows from all lines before it. Keep what it prints, for the next time."""
    known = _place(after, digest)
    verified = request(context, lambda client: verify_audit_log(client, known))
    document = _document(known, verified)
    output = output_of(context)
    output.answer(
        document,
        lambda: properties(
            [
                ("verified", f"{verified.lines} lines after line {known.number}"),
                ("head", verified.head.number),
                ("digest", verified.head.digest.hex()),
            ]
        ),
    )
    output.next(
        "keep these two; the next time: replikera audit verify "
        f"--after {verified.head.number} --digest {verified.head.digest.hex()}"
    )


def _place(after: int, digest: str | None) -> Place:
    if after == 0 and digest is None:
        return START
    if after == 0 or digest is None:
        raise typer.BadParameter("--after and --digest belong together: a line and its digest.")
    if _DIGEST.fullmatch(digest.lower()) is None:
        raise typer.BadParameter("--digest is not a digest: 64 hexadecimal digits.")
    return Place(after, bytes.fromhex(digest))


def _document(known: Place, verified: Verified) -> dict[str, object]:
    return {
        "after": known.number,
        "lines": verified.lines,
        "head": {"number": verified.head.number, "digest": verified.head.digest.hex()},
    }


def _row(line: Record) -> tuple[object, ...]:
    return (
        line.get("number"),
        instant(line.get("occurred_at")),
        line.get("actor"),
        line.get("kind"),
        line.get("detail") or "-",
        line.get("subject"),
    )
