"""`replikera disk`: VHDX files of this machine. No vault is asked, and no profile is needed."""

from pathlib import Path
from typing import Annotated

import typer

from replikera.cli.byte_sizes import ByteSize, parse_size
from replikera.cli.disk_content import digest_of, export_raw
from replikera.cli.disk_creation import NewDisk, create_disk
from replikera.cli.disk_errors import DiskError, disk_errors
from replikera.cli.disk_progress import disk_progress
from replikera.cli.disk_view import check_document, info_document, render_check, render_info
from replikera.cli.errors import ExitCode
from replikera.cli.invocation import invocation_of
from replikera.cli.leaf import Leaf, noun
from replikera.cli.output import output_of
from replikera.cli.wording import printable, size
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import open_path
from replikera.vhdx.checking import check

app = noun("VHDX files here: show, check, export, create.")
_FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A VHDX file.")]
_SizeOption = Annotated[
    ByteSize | None,
    typer.Option("--size", metavar="SIZE", parser=parse_size, help="Of the disk, as in 10G."),
]
_BlockSizeOption = Annotated[
    ByteSize | None,
    typer.Option(
        "--block-size",
        metavar="SIZE",
        parser=parse_size,
        help="By which the file grows: 1M to 256M, a power of two; 2M unless given.",
    ),
]
_SectorOption = Annotated[
    int | None,
    typer.Option(
        "--sector", metavar="BYTES", help="The guest's sectors: 512 (unless given) or 4096."
    ),
]
_ParentOption = Annotated[
    Path | None,
    typer.Option(
        "--parent",
        metavar="FILE",
        help="Make a differencing disk over this one, which may not be written any more.",
    ),
]


@app.command("info", cls=Leaf)
def info(context: typer.Context, file: _FileArgument) -> None:
    """Show what a file is: kind, sizes, ids, parent. Parents need not be there."""
    files = _files(context)
    with disk_errors(file):
        report = check(files, file)
        status = files.status(file)
    if report.metadata is None and report.problems:
        first = report.problems[0]
        raise DiskError("disk-refused", f"{first.path}: {first.what}", first.remedy)
    on_volume = None if status is None else status.allocated
    output = output_of(context)
    output.answer(info_document(report, on_volume), lambda: render_info(report, on_volume))
    if report.problems:
        output.message(f"Problems found: {len(report.problems)}.")
        output.next(f"replikera disk check {printable(str(file))}")


@app.command("check", cls=Leaf)
def check_file(context: typer.Context, file: _FileArgument) -> None:
    """Tell what is wrong with a file, and whether a replay of its log mends it. Exit code 1 if anything is."""
    with disk_errors(file):
        report = check(_files(context), file)
    output_of(context).answer(check_document(report), lambda: render_check(report))
    if report.problems:
        raise typer.Exit(ExitCode.FAILED)


@app.command("digest", cls=Leaf)
def digest(context: typer.Context, file: _FileArgument) -> None:
    """Print the SHA-256 of the whole disk as a guest sees it, parents and log included."""
    with disk_errors(file), open_path(_files(context), file) as image:
        disk_size = image.size
        with disk_progress(file.name, disk_size, _clock(context)) as advance:
            value = digest_of(image, advance)
    document = {"file": str(file), "size": disk_size, "sha256": value}
    output_of(context).line(document, value)


@app.command("export", cls=Leaf)
def export(
    context: typer.Context,
    file: _FileArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET.raw", help="The raw file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET if it exists.")] = False,
) -> None:
    """Write the whole disk as a sparse raw file. TARGET appears when it is whole and durable."""
    files = _files(context)
    with disk_errors(target), open_path(files, file) as image:
        if force and files.status(target) is not None:
            _refuse_own_chain(files, file, target)
        disk_size, data = image.size, image.stored_extents().total()
        with disk_progress(file.name, data, _clock(context)) as advance:
            written = export_raw(
                files,
                image,
                target,
                randomness=SystemRandomness(),
                is_replacing=force,
                advance=advance,
            )
    output = output_of(context)
    output.line({"file": str(target), "size": disk_size, "written": written}, str(target))
    output.message(f"{size(disk_size)}, of which {size(written)} are not zeros.")


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    file: _FileArgument,
    *,
    disk_size: _SizeOption = None,
    block_size: _BlockSizeOption = None,
    sector: _SectorOption = None,
    parent: _ParentOption = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="In one piece, as long as the disk.")
    ] = False,
) -> None:
    """Make an empty disk in a new file: dynamic, --fixed, or differencing over --parent."""
    files = _files(context)
    asked = NewDisk(
        size=disk_size.count if disk_size is not None else None,
        block_size=block_size.count if block_size is not None else None,
        sector=sector,
        parent=parent,
        is_fixed=fixed,
    )
    with disk_errors(file):
        made = create_disk(files, file, asked)
    output = output_of(context)
    output.line({"file": str(file), "size": made}, str(file))
    output.next(f"replikera disk info {printable(str(file))}")


def _clock(context: typer.Context) -> Clock:
    ports = invocation_of(context).ports
    return SystemClock() if ports is None else ports.clock


def _files(context: typer.Context) -> Files:
    ports = invocation_of(context).ports
    return SystemFiles() if ports is None else ports.files


def _refuse_own_chain(files: Files, source: Path, target: Path) -> None:
    """Refuse to replace what is being read: the disk would be lost."""
    chain = (source, *check(files, source).parents)
    names = {path.resolve() for path in chain} | {_place(path) for path in chain}
    if _place(target) in names or not target.is_file():
        raise DiskError(
            "target-refused",
            f"{target} belongs to the disk that is exported, or is not an ordinary file",
            "Name another file",
        )


def _place(path: Path) -> Path:
    """Return which name in which folder a path means."""
    return path.parent.resolve() / path.name
