"""What a check found of a disk file: for programs, and for people."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from replikera.cli.output import properties, table
from replikera.cli.wording import size
from replikera.vhdx.checking import CheckReport
from replikera.vhdx.metadata import Metadata


def info_document(report: CheckReport, on_volume: int | None) -> dict[str, object]:
    """Return what the file is; null where damage hides it. `on_volume` are the bytes that it takes there."""
    metadata = report.metadata
    document: dict[str, object] = {
        "file": str(report.path),
        "kind": report.kind,
        "size": report.size,
        "file_size": report.file_size,
        "allocated": report.allocated,
        "on_volume": on_volume,
        "log": report.log,
        "data_write_id": None if report.data_write_id is None else str(report.data_write_id),
    }
    if metadata is not None:
        document |= {
            "block_size": metadata.block_size,
            "logical_sector_size": metadata.logical_sector_size,
            "physical_sector_size": metadata.physical_sector_size,
            "disk_id": str(metadata.disk_id),
            "parent": _parent_document(report, metadata),
        }
    return {**document, "problems": len(report.problems)}


def check_document(report: CheckReport) -> dict[str, object]:
    """Return everything that the check found."""
    return {
        "file": str(report.path),
        "is_sound": not report.problems,
        "would_replay_mend": report.would_replay_mend,
        "kind": report.kind,
        "size": report.size,
        "log": report.log,
        "headers": list(report.headers),
        "region_tables": list(report.region_tables),
        "leaked": report.leaked,
        "parents": [str(path) for path in report.parents],
        "problems": [
            {
                "file": str(problem.path),
                "problem": problem.what,
                "remedy": problem.remedy,
                "is_mended_by_replay": problem.is_mended_by_replay,
            }
            for problem in report.problems
        ],
    }


def render_info(report: CheckReport, on_volume: int | None) -> RenderableType:
    """Return what the file is, for people."""
    metadata = report.metadata
    pairs: list[tuple[str, object]] = [
        ("file", report.path),
        ("kind", report.kind),
        ("size", size(report.size)),
        ("file size", size(report.file_size)),
        ("allocated", size(report.allocated)),
        ("on the volume", size(on_volume)),
        ("log", report.log),
        ("data write id", report.data_write_id),
    ]
    if metadata is not None:
        sectors = (
            f"{metadata.logical_sector_size} logical, {metadata.physical_sector_size} physical"
        )
        pairs += [
            ("block size", size(metadata.block_size)),
            ("sectors", sectors),
            ("disk id", metadata.disk_id),
        ]
        if metadata.parent is not None:
            pairs += [
                ("parent", report.parents[0] if report.parents else "missing"),
                *((key.replace("_", " "), told) for key, told in metadata.parent.paths),
                ("parent linkage", ", ".join(map(str, metadata.parent.linkages))),
            ]
    return properties(pairs)


def render_check(report: CheckReport) -> RenderableType:
    """Return everything that the check found, for people."""
    facts = properties(
        [
            ("file", report.path),
            ("result", _result(report)),
            ("log", report.log),
            ("headers", _copies(report.headers)),
            ("region tables", _copies(report.region_tables)),
            ("unused in the file", size(report.leaked)),
            *(("parent", path) for path in report.parents),
        ]
    )
    if not report.problems:
        return facts
    rows = [(problem.path.name, problem.what, problem.remedy) for problem in report.problems]
    return Group(facts, Text(""), table(("file", "problem", "remedy"), rows))


def _result(report: CheckReport) -> str:
    if not report.problems:
        return "sound"
    return "a replay of its log would mend it" if report.would_replay_mend else "damaged"


def _copies(states: Sequence[str]) -> str:
    return ", ".join(states)


def _parent_document(report: CheckReport, metadata: Metadata) -> dict[str, object] | None:
    if metadata.parent is None:
        return None
    return {
        "found": str(report.parents[0]) if report.parents else None,
        "paths": dict(metadata.parent.paths),
        "linkages": [str(linkage) for linkage in metadata.parent.linkages],
    }
