"""What is said of a thing that was deleted, the first time and when it is asked again."""

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Deletion:
    """The id of what is gone, and the names of the machines whose protections it concerned."""

    id: str
    protections: tuple[str, ...]

    def to_text(self) -> str:
        """Return what is kept with the request: there is no object to look it up in again."""
        return json.dumps([self.id, *self.protections])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what `to_text` kept."""
        identifier, *names = json.loads(text)
        return cls(identifier, tuple(names))
