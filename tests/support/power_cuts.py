"""What a power cut may leave at any moment of an action."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.crash_files import CrashFiles

_SAMPLES = 24


async def power_cuts(
    files: CrashFiles, action: Callable[[], Awaitable[object]]
) -> tuple[list[CrashFiles], list[CrashFiles]]:
    """Run the action; return file systems as cuts before its end leave them, and as cuts after its end do."""
    chooser = random.Random(1)
    during: list[CrashFiles] = []

    def look(_operation: str, _path: Path) -> None:
        files.before = None
        during.extend(files.crash_states(chooser, samples=_SAMPLES))
        files.before = look

    files.before = look
    await action()
    files.before = None
    return during, list(files.crash_states(chooser, samples=_SAMPLES))


def empty_files(*folders: Path) -> CrashFiles:
    """Return a file system with these folders, durably."""
    files = CrashFiles()
    for folder in folders:
        files.make_directory(folder)
        files.sync_directory(folder.parent)
    return files
