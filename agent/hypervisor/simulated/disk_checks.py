"""A look at a disk file that somebody wants to give to a machine."""

from pathlib import Path

from agent.hypervisor.interface import DiskCheck
from replikera.ports.files import Files
from replikera.vhdx.checking import check

_SHOWN = 5
"""A damaged file may have a problem a block; the first ones say what is wrong with it."""


def check_disk(files: Files, path: Path) -> DiskCheck:
    """Return the size of the disk, and what is wrong with its file or a parent of it; nothing is changed.

    A log that a replay would empty is no problem: whoever opens the disk replays it.
    """
    try:
        report = check(files, path)
    except OSError as error:
        problem = f"Disk file {path} cannot be used: {error.strerror or error}"
        return DiskCheck(0, f"{problem}. Check that the file is there and readable.")
    problems = [each for each in report.problems if not each.is_mended_by_replay]
    texts = [f"{each.path}: {each.what}. {each.remedy}" for each in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        texts.append(f"{len(problems) - _SHOWN} problems more.")
    return DiskCheck(report.size or 0, " ".join(texts))
