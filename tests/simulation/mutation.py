"""A rule that is broken on purpose, to see that it is missed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from replikera.ports.files import Files
from tests.support.crash_files import CrashFile, CrashFiles


@dataclass(frozen=True)
class Mutation:
    """A rule that is broken, by leaving out syncs or by other code in the place of the right one.

    `first_seed` is where the search begins: what was found at once last time is found at once.
    """

    rule: str
    first_seed: int = 0
    skips_file: Callable[[Path], bool] = lambda _path: False
    skips_directory: Callable[[Path], bool] = lambda _path: False
    patched: Callable[[], AbstractContextManager[object]] = nullcontext

    def wrap(self, files: CrashFiles) -> Files:
        """Return the file system of the mutated replica; the crash states stay the real one's."""
        return cast("Files", _Forgetful(files, self))


class _Forgetful:
    """Passes everything on but the syncs that a mutation leaves out."""

    def __init__(self, files: CrashFiles, mutation: Mutation) -> None:
        self._files = files
        self._mutation = mutation

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    def sync_directory(self, path: Path) -> None:
        if not self._mutation.skips_directory(path):
            self._files.sync_directory(path)

    def create(self, path: Path, *, mode: int = 0o600) -> CrashFile:
        return self._forgetful(cast("CrashFile", self._files.create(path, mode=mode)))

    def open_write(self, path: Path) -> CrashFile:
        return self._forgetful(cast("CrashFile", self._files.open_write(path)))

    def _forgetful(self, file: CrashFile) -> CrashFile:
        if self._mutation.skips_file(file.path):
            file.sync = lambda: None  # type: ignore[method-assign]  # that is the mutation
        return file
