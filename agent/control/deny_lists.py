"""The deny-list of this host: signed by the vault, durable before it is obeyed, obeyed before the vault is told."""

from pathlib import Path

import structlog

from replikera.denials import Denials
from replikera.durable import write_durably
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.workers import Worker
from replikera.trust.deny_list import DenyList, DenyListError, open_deny_list, reopen_deny_list
from replikera.trust.signing import MAX_SIGNED_BYTES

log = structlog.get_logger(__name__)


class DenyListFileError(Exception):
    """The file is not what was written; the message names it and the remedy."""


class DenyLists:
    """The newest list of the vault in one durable file, as it was signed. Open it before anybody is let in."""

    def __init__(
        self,
        files: Files,
        worker: Worker,
        clock: Clock,
        path: Path,
        denials: Denials,
        *,
        vault_id: str,
        root_certificate: bytes,
    ) -> None:
        self._files = files
        self._worker = worker
        self._clock = clock
        self._path = path
        self._denials = denials
        self._vault_id = vault_id
        self._root_certificate = root_certificate
        self.signed = b""

    @property
    def version(self) -> int:
        """Return the version that is stored, 0 for none."""
        return self._denials.version

    async def open(self) -> None:
        """Obey what earlier runs stored. Raises `DenyListFileError`."""
        self.signed, stored = await self._worker.run(self._read)
        if stored is not None:
            self._denials.update(stored)

    async def store(self, signed: bytes) -> int | None:
        """Store and obey a list; return its version, None for one that is refused.

        The list that is stored already is answered again. Raises `OSError` where it cannot be made durable.
        """
        try:
            deny_list = await self._worker.run(self._verified, signed)
        except DenyListError as error:
            log.warning("deny-list refused", cause=str(error))
            return None
        if deny_list.version < self.version:
            log.warning(
                "deny-list refused",
                cause=f"version {deny_list.version} is below {self.version}, which is stored",
            )
            return None
        if deny_list.version > self.version:
            await self._worker.run(write_durably, self._files, self._path, signed)
            self.signed = signed
            self._denials.update(deny_list)
            log.info(
                "deny-list stored",
                version=deny_list.version,
                certificates=len(deny_list.certificates),
                hosts=len(deny_list.identities),
            )
        return deny_list.version

    def _verified(self, signed: bytes) -> DenyList:
        return open_deny_list(
            signed,
            vault_id=self._vault_id,
            root_certificate=self._root_certificate,
            now=self._clock.now(),
        )

    def _read(self) -> tuple[bytes, DenyList | None]:
        try:
            signed = self._files.read_bytes(self._path, limit=MAX_SIGNED_BYTES)
            stored = reopen_deny_list(
                signed, vault_id=self._vault_id, root_certificate=self._root_certificate
            )
        except FileNotFoundError:
            return b"", None
        except ValueError as error:
            raise DenyListFileError(
                f"{self._path} cannot be used: {error}. Remove the file and start the agent while the vault can be "
                "reached: the vault sends the list again"
            ) from error
        return signed, stored
