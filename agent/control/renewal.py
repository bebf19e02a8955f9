"""Renews this host's certificate while the present one is good, so that there is never a moment without one."""

from datetime import timedelta
from typing import NoReturn, Protocol

import structlog

from agent.control.membership import Membership, MembershipFolder, renewal_name
from replikera.identity import (
    RENEWAL_JITTER,
    Credentials,
    CredentialsHolder,
    IdentityError,
    renewal_time,
    signing_request,
)
from replikera.ports.clock import Clock
from replikera.ports.randomness import Randomness
from replikera.ports.streams import StreamClosedError
from replikera.ports.workers import Worker

MIN_RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 900.0
"""A vault that was away for days has renewed everybody a quarter of an hour after it is back."""

LOOK_SECONDS = 600.0
"""The wall clock may be set: how often it is asked whether a renewal is due."""

_FAILURES = (StreamClosedError, IdentityError, OSError)

log = structlog.get_logger(__name__)


class RenewalRequest(Protocol):
    """Asks the vault for a new certificate."""

    async def request(self, signing_request: bytes, credentials: Credentials) -> bytes:
        """Return the chain that is issued to whoever `credentials` prove. Raises `StreamClosedError`."""


class CertificateRenewal:
    """Replaces the credentials in the holder: durable first, then presented."""

    def __init__(
        self,
        holder: CredentialsHolder,
        membership: Membership,
        folder: MembershipFolder,
        vault: RenewalRequest,
        *,
        worker: Worker,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._holder = holder
        self._membership = membership
        self._folder = folder
        self._vault = vault
        self._worker = worker
        self._clock = clock
        self._randomness = randomness
        self._cause = ""

    async def run(self) -> NoReturn:
        """Renew at half of each certificate's life until cancelled; while the vault is away try again and again."""
        while True:
            await self._until_due()
            failures = 0
            while not await self._renewed():
                failures += 1
                longest = min(MAX_RETRY_SECONDS, MIN_RETRY_SECONDS * 2.0 ** min(failures, 16))
                await self._clock.sleep(self._randomness.uniform(MIN_RETRY_SECONDS, longest))

    async def _until_due(self) -> None:
        jitter = self._randomness.uniform(-RENEWAL_JITTER, RENEWAL_JITTER)
        due = renewal_time(self._holder.current.certificate_chain, jitter)
        while (remaining := due - self._clock.now()) > timedelta(0):
            await self._clock.sleep(min(remaining.total_seconds(), LOOK_SECONDS))

    async def _renewed(self) -> bool:
        try:
            renewed = await self._renew()
        except _FAILURES as error:
            self._note(str(error))
            return False
        self._cause = ""
        log.info("certificate renewed", not_after=renewed.caller.not_after.isoformat())
        return True

    async def _renew(self) -> Credentials:
        """Exchange the present certificate. A crash before the end repeats it with the same key."""
        present = self._holder.current
        name = renewal_name(present)
        key = await self._worker.run(self._folder.pending_key, name)
        chain = await self._vault.request(self._request_of(key, name), present)
        renewed = Credentials(chain, key, present.root_certificate)
        if renewed.caller.not_after <= present.caller.not_after:
            raise IdentityError("the vault answered with a certificate that ends no later")
        await self._worker.run(self._folder.adopt, name, self._membership, renewed)
        self._holder.replace(renewed)
        return renewed

    def _request_of(self, key: bytes, name: str) -> bytes:
        try:
            return signing_request(key)
        except ValueError as error:
            path = self._folder.path / name
            raise IdentityError(f"the key in {path} is damaged: remove that folder") from error

    def _note(self, cause: str) -> None:
        not_after = self._holder.current.caller.not_after
        is_expired = not_after <= self._clock.now()
        if is_expired:
            cause = expired_text(self._holder.current, self._membership)
        if cause == self._cause:
            return
        self._cause = cause
        tell = log.error if is_expired else log.warning
        tell("certificate not renewed", cause=cause, not_after=not_after.isoformat())


def expired_text(credentials: Credentials, membership: Membership) -> str:
    """Return what an operator is told of a host whose certificate has expired."""
    return (
        f"the certificate of this host has expired on {credentials.caller.not_after:%Y-%m-%d at %H:%M} UTC: "
        f"readmit it to vault {membership.vault_name} (replikera host readmit) and give the join line to "
        "replikera-agent join; its protections stay"
    )
