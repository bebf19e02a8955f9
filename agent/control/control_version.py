"""The highest control state this host ever obeyed: a vault behind it was restored from an old copy."""

import json
from pathlib import Path

from replikera.durable import write_durably
from replikera.ports.files import Files
from replikera.ports.workers import Worker

_MAX_BYTES = 1024
_MAX_VERSION = (1 << 63) - 1


class ControlVersionError(Exception):
    """The file is not what was written; the message names it and the remedy."""


class ControlVersion:
    """One number in a durable file; it only rises."""

    def __init__(self, files: Files, worker: Worker, path: Path) -> None:
        self._files = files
        self._worker = worker
        self._path = path
        self.number = 0

    async def open(self) -> None:
        """Read what earlier runs obeyed. Raises `ControlVersionError`."""
        self.number = await self._worker.run(self._read)

    async def raise_to(self, number: int) -> None:
        """Make a higher number durable; a lower one changes nothing."""
        if number > self.number:
            data = json.dumps({"control_version": number}).encode()
            await self._worker.run(write_durably, self._files, self._path, data)
            self.number = number

    def _read(self) -> int:
        try:
            document = json.loads(self._files.read_bytes(self._path, limit=_MAX_BYTES))
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise self._damaged() from error
        number = document.get("control_version") if isinstance(document, dict) else None
        if type(number) is not int or not 0 <= number <= _MAX_VERSION:
            raise self._damaged()
        return number

    def _damaged(self) -> ControlVersionError:
        return ControlVersionError(
            f"{self._path} does not hold the control version that this host obeyed. "
            "If the vault was never restored from an old copy, remove the file."
        )
