"""What a replica has promised, and how it is found out that a promise was broken."""

from dataclasses import dataclass, field
from typing import TypeAlias

Contents: TypeAlias = tuple[bytes, ...]
"""Every byte of every disk."""


class BrokenPromiseError(BaseException):
    """A crash left what must not be; past every handler of the code under test."""


class KilledError(BaseException):
    """The process is gone: nothing that it would still do happens."""


@dataclass
class Promises:
    """What was acknowledged, and what may or may not have happened besides."""

    contents: dict[int, Contents] = field(default_factory=dict)
    acknowledged: int = 0
    arriving: tuple[int, Contents] | None = None
    oldest: int = 1
    floor: tuple[int, int] = (0, 0)
    is_accepted: bool = False
    pins: dict[str, int] = field(default_factory=dict)
    changing_pin: str = ""
    """An order whose pin is being made or removed: it may be there or not."""
    pinned_position: int | None = None

    def expected(self, sequence: int) -> Contents:
        if self.arriving is not None and sequence == self.arriving[0]:
            return self.arriving[1]
        return self.contents[sequence]

    def highest(self) -> int:
        return self.arriving[0] if self.arriving is not None else self.acknowledged
