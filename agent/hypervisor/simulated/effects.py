"""The effects log: one JSON line for everything that was changed on the host, so that a second time shows."""

import json
from pathlib import Path

from replikera.ports.clock import Clock
from replikera.ports.files import Files


class Effects:
    """effects.log of one host; appended to by every process that changes something."""

    def __init__(self, files: Files, clock: Clock, path: Path) -> None:
        self._files = files
        self._clock = clock
        self._path = path

    def record(self, effect: str, subject: str, tag: str) -> None:
        """Add one line: what was done, to which object, for whom."""
        line = {
            "time": self._clock.now().isoformat(),
            "effect": effect,
            "object": subject,
            "tag": tag,
        }
        self._files.append(self._path, json.dumps(line).encode() + b"\n")
