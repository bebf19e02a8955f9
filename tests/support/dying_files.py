"""The machine's files, until the process dies."""

from collections.abc import Callable
from typing import Any

from replikera.system.files import SystemFiles

CHANGES = {
    "create",
    "append",
    "replace",
    "link",
    "remove",
    "remove_tree",
    "make_directory",
    "sync_directory",
}


class Died(BaseException):
    """The process is no more: nothing that would run after this runs."""


MANY = 10_000


def moments(changes: int, step: int) -> list[int]:
    """Return at which of so many changes to die: every few, and the last one."""
    return sorted({*range(1, changes, step), changes - 1})


class DyingFiles:
    """Carries out so many changes of names and files; from then on every call is one of a dead process."""

    def __init__(self, changes: int = MANY) -> None:
        self.left = changes
        self._files = SystemFiles()

    @property
    def done(self) -> int:
        """Return how many of MANY changes were carried out."""
        return MANY - self.left

    @property
    def is_dead(self) -> bool:
        return self.left < 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._files, name)

        def call(*arguments: Any, **more: Any) -> Any:
            if name in CHANGES:
                self.left -= 1
            if self.is_dead:
                raise Died
            return method(*arguments, **more)

        return call
