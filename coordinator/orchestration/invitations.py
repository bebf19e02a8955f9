"""Registration keys and the join lines that carry them: for a new host, or for one that is known."""

import base64
from dataclasses import dataclass
from datetime import timedelta

from coordinator.domain import registration_keys
from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.domain.identifiers import KeyId
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.orchestration.sites import existing_site
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from replikera.enrolment import JoinLine

_KEY_ID_BYTES = 8
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new registration key and the line that carries it, which is told once and kept nowhere."""

    key: RegistrationKey
    join_line: str


async def invite_host(
    vault: Vault, command: Command, site: str, valid_for: timedelta
) -> Invitation:
    """Make a registration key for one new host of a site. Raises `UnknownObjectError`, `RefusedError`."""
    key_id, secret = _drawn(vault)
    now = vault.clock.now()
    async with vault.store.write() as records:
        await _check_first_time(records, command)
        name = (await existing_site(records, site)).name
        key, decision = registration_keys.create(key_id, secret, name, valid_for, now)
        await records.save(decision, command, result=key.id)
    return _invitation(vault, key, secret)


async def readmit_host(
    vault: Vault, command: Command, name: str, reason: str, valid_for: timedelta
) -> Invitation:
    """Make a key with which one host may join again under its id; until it does, nothing changes for it.

    Raises `UnknownObjectError`, `IllegalTransitionError`, `RefusedError`.
    """
    key_id, secret = _drawn(vault)
    now = vault.clock.now()
    async with vault.store.write() as records:
        await _check_first_time(records, command)
        host = await records.hosts.get(name)
        key, decision = registration_keys.readmit(
            key_id, secret, host, valid_for, now, reason=reason
        )
        await records.save(decision, command, result=key.id)
    return _invitation(vault, key, secret)


async def _check_first_time(records: Records, command: Command) -> None:
    if (done := await records.done(command)) is not None:
        raise RefusedError(
            "invitation-told-already",
            f"The join line of registration key {done} was told when the request came first; it is kept nowhere.",
            "Revoke that key, and ask again with a new idempotency key.",
        )


def _drawn(vault: Vault) -> tuple[KeyId, str]:
    key_id = KeyId(vault.randomness.bytes(_KEY_ID_BYTES).hex())
    secret = base64.urlsafe_b64encode(vault.randomness.bytes(_SECRET_BYTES)).rstrip(b"=").decode()
    return key_id, secret


def _invitation(vault: Vault, key: RegistrationKey, secret: str) -> Invitation:
    line = JoinLine(key.id, secret, vault.addresses.enrolment, vault.authority.fingerprint)
    return Invitation(key, line.format())
