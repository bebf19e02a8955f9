"""Resources of the vault itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coordinator.domain.commands import Command
from coordinator.orchestration.status import vault_status
from coordinator.orchestration.vault import Vault
from coordinator.web import presentation, protection_presentation
from coordinator.web.answers import HeadAnswer, VaultAnswer
from coordinator.web.models import NoQuery
from coordinator.web.protection_answers import StatusAnswer
from coordinator.web.requests import ReconciliationRequest
from coordinator.web.table import OWNERS, Call, Content, Opened, Route, changing, reading, telling

ARCHIVE_TYPE = "application/x-tar"


class VaultHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading("/vault", self.get_vault, "Which vault this is", NoQuery, VaultAnswer),
            reading(
                "/status",
                self.get_status,
                "The whole vault at one moment",
                NoQuery,
                StatusAnswer,
            ),
            changing(
                "/vault/reconciliation",
                self.end_reconciliation,
                "End reconciling after a restore",
                ReconciliationRequest,
                VaultAnswer,
                roles=OWNERS,
                is_open_while_reconciling=True,
            ),
            telling(
                "/vault/backup",
                self.get_backup,
                "Take a backup of the vault",
                NoQuery,
                ARCHIVE_TYPE,
                roles=OWNERS,
            ),
        )

    async def get_vault(self, _call: Call, _query: NoQuery) -> VaultAnswer:
        """Return which vault this is, and whether it serves."""
        record, addresses = self._vault.record, self._vault.addresses
        async with self._vault.store.read() as records:
            control, head = await records.control(), await records.head()
            missing = await self._vault.reconciliation.missing(records)
        return VaultAnswer(
            id=record.id,
            name=record.name,
            created_at=record.created_at,
            session_address=addresses.session,
            enrolment_address=addresses.enrolment,
            fingerprint=self._vault.authority.fingerprint,
            mode=control.mode,
            mode_since=control.mode_since,
            hosts_missing=[host.name for host in missing],
            head=HeadAnswer(number=head.number, digest=head.digest.hex()),
        )

    async def get_status(self, _call: Call, _query: NoQuery) -> StatusAnswer:
        """Return everything at once."""
        async with self._vault.store.read() as records:
            status = await vault_status(self._vault, records)
        return StatusAnswer(
            vault=self._vault.record.name,
            now=status.now,
            mode=status.mode,
            health=status.health,
            hosts=[presentation.host(host) for host in status.hosts],
            protections=[protection_presentation.protection(item) for item in status.protections],
            jobs_running=status.jobs_running,
        )

    async def end_reconciliation(self, call: Call, body: ReconciliationRequest) -> VaultAnswer:
        """End reconciling."""
        await self._vault.reconciliation.finish(
            self._vault, call.command, accept_missing=body.accept_missing
        )
        return await self.get_vault(call, NoQuery())

    async def get_backup(self, call: Call, _query: NoQuery) -> Content:
        """Return everything that the vault keeps."""
        return Content(ARCHIVE_TYPE, self._backup(call.command))

    @asynccontextmanager
    async def _backup(self, command: Command) -> AsyncIterator[Opened]:
        async with self._vault.backups.take(self._vault, command) as backup:
            yield Opened(backup.size, backup.chunks(), backup.file_name)
