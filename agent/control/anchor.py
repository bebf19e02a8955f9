"""The newest control state that this host obeyed: a vault that does not have it was restored from an older copy."""

import json
from pathlib import Path

from replikera.durable import write_durably
from replikera.ports.files import Files
from replikera.ports.workers import Worker

_MAX_BYTES = 1024
_MAX_NUMBER = (1 << 63) - 1
_DIGEST_BYTES = 32


class AnchorError(Exception):
    """The file is not what was written; the message names it and the remedy."""


class VaultNotObeyedError(Exception):
    """The peer is not the vault this host obeys, or no longer; the message says why and what to do."""


class ControlAnchor:
    """A number of the vault's history and the digest of its chain there, in a durable file; it only rises.

    The digest is empty where an earlier version of the agent wrote the file.
    """

    def __init__(self, files: Files, worker: Worker, path: Path) -> None:
        self._files = files
        self._worker = worker
        self._path = path
        self.number = 0
        self.digest = b""

    async def open(self) -> None:
        """Read what earlier runs obeyed. Raises `AnchorError`."""
        self.number, self.digest = await self._worker.run(self._read)

    def check(self, number: int, digest: bytes) -> None:
        """Refuse a control state that does not go on from ours. Raises `VaultNotObeyedError`."""
        if number < self.number:
            raise VaultNotObeyedError(
                f"the vault is at control version {number}, this host obeyed {self.number}: "
                "the vault was restored from an old copy, restore a newer one"
            )
        if number == self.number and self.digest and digest != self.digest:
            raise VaultNotObeyedError(
                f"the vault has another history at control version {number} than the one that this host obeyed: "
                "it was restored from an old copy, restore a newer one"
            )
        if len(digest) not in {0, _DIGEST_BYTES} or number > _MAX_NUMBER:
            raise VaultNotObeyedError(f"the vault's control version {number} is none")

    async def raise_to(self, number: int, digest: bytes) -> None:
        """Make a newer control state durable; the one we have changes nothing. Raises `VaultNotObeyedError`."""
        self.check(number, digest)
        if (number, digest) == (self.number, self.digest):
            return
        document = {"control_version": number, "control_digest": digest.hex()}
        data = json.dumps(document).encode()
        await self._worker.run(write_durably, self._files, self._path, data)
        self.number, self.digest = number, digest

    def _read(self) -> tuple[int, bytes]:
        try:
            document = json.loads(self._files.read_bytes(self._path, limit=_MAX_BYTES))
        except FileNotFoundError:
            return 0, b""
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(document, dict):
            raise self._damaged()
        return self._number(document.get("control_version")), self._digest(
            document.get("control_digest", "")
        )

    def _number(self, value: object) -> int:
        if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
            raise self._damaged()
        return value

    def _digest(self, value: object) -> bytes:
        try:
            digest = bytes.fromhex(value) if isinstance(value, str) else None
        except ValueError:
            digest = None
        if digest is None or len(digest) not in {0, _DIGEST_BYTES}:
            raise self._damaged()
        return digest

    def _damaged(self) -> AnchorError:
        return AnchorError(
            f"{self._path} does not hold the control version that this host obeyed. "
            "If the vault was never restored from an old copy, remove the file."
        )
