"""What the vault does of itself, now and then: keeps contacts, renews what ends, drops what is over.

A database or a disk that fails for a while costs a round, and so does what an operator ends meanwhile: it is told, and
the next round tries again.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NoReturn

import structlog

from coordinator.authority.errors import AuthorityError
from coordinator.authority.server import server_credentials
from coordinator.domain.errors import DomainError
from coordinator.orchestration.grants import renew_grants
from coordinator.orchestration.machinery import Machinery, StateDirectory
from coordinator.orchestration.rehearsals import end_rehearsals
from coordinator.orchestration.trust import publish_deny_list
from coordinator.orchestration.vault import Vault
from coordinator.store.errors import StoreError

ROUND_SECONDS = 10.0
"""How often contacts are kept: all of them in one transaction, whatever the number of hosts."""

RENEWAL_SECONDS = 30.0
PRUNING_SECONDS = 3600.0

KEEP_REQUESTS = timedelta(hours=24)
KEEP_EXPIRED = timedelta(days=7)
"""How long a certificate is shown after its end."""

log = structlog.get_logger()

Duty = Callable[[], Awaitable[None]]


class Upkeep:
    """Runs beside the listeners. `machinery` and `state` are those of the vault."""

    def __init__(self, vault: Vault, machinery: Machinery, state: StateDirectory) -> None:
        self._vault = vault
        self._machinery = machinery
        self._state = state
        self._duties: tuple[tuple[Duty, float], ...] = (
            (self.keep_contacts, ROUND_SECONDS),
            (self.obey_deny_list, ROUND_SECONDS),
            (self.finish_reconciliation, RENEWAL_SECONDS),
            (self.renew_server, RENEWAL_SECONDS),
            (self.renew_signer, RENEWAL_SECONDS),
            (self.renew_grants, RENEWAL_SECONDS),
            (self.end_rehearsals, RENEWAL_SECONDS),
            (self.prune, PRUNING_SECONDS),
        )
        self._due: dict[Duty, float] = {}

    async def run(self) -> NoReturn:
        """Do every duty in its time until cancelled."""
        while True:
            await self.round()
            await self._vault.clock.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        """Do all that is due; one that fails keeps none of the others back."""
        now = self._vault.clock.monotonic()
        for duty, every in self._duties:
            if now >= self._due.get(duty, now):
                self._due[duty] = now + every
                await self._try(duty)

    async def finish(self) -> None:
        """Keep what would be lost by stopping."""
        await self._try(self.keep_contacts)

    async def keep_contacts(self) -> None:
        """Store when hosts were heard last, in one transaction."""
        contacts = self._vault.presence.contacts()
        if contacts:
            async with self._vault.store.write() as records:
                await records.keep_contacts(contacts)
            self._vault.presence.kept(contacts)

    async def obey_deny_list(self) -> None:
        """Publish a deny-list that was stored and then could not be read or signed."""
        async with self._vault.store.read() as records:
            version = (await records.control()).deny_list_version
        if version > self._vault.deny_lists.version:
            await publish_deny_list(self._vault)

    async def finish_reconciliation(self) -> None:
        """Serve again where there is no host left to wait for."""
        await self._vault.reconciliation.finish_if_complete(self._vault)

    async def renew_server(self) -> None:
        """Show new connections a new certificate when half of the present one's life is over."""
        vault = self._vault
        newest = await self._machinery.worker.run(
            server_credentials,
            self._machinery.files,
            self._state.server,
            vault.authority,
            vault.clock.now(),
        )
        if newest != vault.server.current:
            vault.server.replace(newest)
            log.info("server certificate renewed", not_after=newest.caller.not_after.isoformat())

    async def renew_signer(self) -> None:
        """Sign with a new key when half of the present certificate's life is over, and the deny-list anew."""
        vault = self._vault
        if await self._machinery.worker.run(vault.authority.refresh_signer, vault.clock.now()):
            log.info("signing certificate renewed")
            vault.deny_lists.outdated()
            await publish_deny_list(vault)

    async def renew_grants(self) -> None:
        """Give sources new grants in good time."""
        count = await renew_grants(self._vault)
        if count:
            log.info("grants renewed", count=count)

    async def end_rehearsals(self) -> None:
        """Clean up test failovers whose time is up."""
        count = await end_rehearsals(self._vault)
        if count:
            log.info("test failovers end", count=count)

    async def prune(self) -> None:
        """Drop what is over: expired certificates, and requests that nobody repeats any more."""
        now = self._vault.clock.now()
        async with self._vault.store.write() as records:
            await records.forget_certificates(now - KEEP_EXPIRED)
            await records.requests.forget(now - KEEP_REQUESTS)

    async def _try(self, duty: Duty) -> None:
        try:
            await duty()
        except (StoreError, AuthorityError, DomainError, OSError) as error:
            log.warning("upkeep failed", duty=getattr(duty, "__name__", "?"), error=str(error))
