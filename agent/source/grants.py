"""The grants that this host presents: durable beside the state of their protection, the newest alone."""

import asyncio
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from agent.grants import MAX_GRANT_BYTES
from replikera.durable import remove_durably, write_durably
from replikera.ports.files import Files
from replikera.trust.signing import SignatureError, content_of
from replikera.wire.v1 import trust_pb2

_SUFFIX = ".grant"

log = structlog.get_logger(__name__)


class HeldGrant:
    """The grant of one protection; empty and of version 0 before the first. Lives on the event loop."""

    def __init__(self, signed: bytes = b"") -> None:
        self.signed = signed
        self.version = version_of(signed) if signed else 0
        self._changed = asyncio.Event()

    def replace(self, signed: bytes) -> None:
        """Present this one from now on."""
        self.signed = signed
        self.version = version_of(signed)
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer_than(self, version: int) -> None:
        """Return as soon as there is a higher version."""
        while self.version <= version:
            await self._changed.wait()


class GrantFolder:
    """One file a protection, as it was signed. All calls block."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def save(self, protection_id: str, signed: bytes) -> None:
        """Replace a protection's grant, atomically and durably."""
        write_durably(self._files, self._path(protection_id), signed)

    def load(self, protection_id: str) -> bytes:
        """Return a protection's grant, empty where it has none that can be read: the vault renews it."""
        path = self._path(protection_id)
        try:
            signed = self._files.read_bytes(path, limit=MAX_GRANT_BYTES)
            version_of(signed)
        except FileNotFoundError:
            return b""
        except ValueError as error:
            log.warning("grant not read", path=str(path), cause=str(error))
            return b""
        return signed

    def remove(self, protection_id: str) -> None:
        """Remove a protection's grant, durably; a missing one is no error."""
        remove_durably(self._files, self._path(protection_id))

    def _path(self, protection_id: str) -> Path:
        return self._folder / (protection_id + _SUFFIX)


def version_of(signed: bytes) -> int:
    """Return what a grant says of its version, believed because it was verified when it was stored.

    Raises `ValueError` where it is none.
    """
    try:
        return trust_pb2.Grant.FromString(content_of(signed)).version
    except (SignatureError, DecodeError) as error:
        raise ValueError(f"not a grant: {error}") from error
