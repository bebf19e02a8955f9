"""Inviting and registering hosts."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain import registration_keys
from coordinator.domain.errors import RefusedError
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, KeyId, check_name
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from replikera.enrolment import JoinLine
from replikera.identity import Role, caller_from_certificate

_KEY_ID_BYTES = 8
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new registration key and the line that carries it, which is told once and kept nowhere."""

    key: RegistrationKey
    join_line: str


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a host sends to join."""

    key_id: str
    secret: str
    signing_request: bytes
    host_name: str
    cloud: str


@dataclass(frozen=True, slots=True)
class Membership:
    """What a host gets when it has joined."""

    host_id: HostId
    site: str
    certificate_chain: bytes
    not_after: datetime


async def invite_host(vault: Vault, site: str, valid_for: timedelta) -> Invitation:
    """Make a registration key for one host of a site."""
    key_id = KeyId(vault.randomness.bytes(_KEY_ID_BYTES).hex())
    secret = base64.urlsafe_b64encode(vault.randomness.bytes(_SECRET_BYTES)).rstrip(b"=").decode()
    key, decision = registration_keys.create(key_id, secret, site, valid_for, vault.clock.now())
    async with vault.store.write() as records:
        await records.save(decision)
    line = JoinLine(key_id, secret, vault.addresses.enrolment, vault.authority.fingerprint)
    return Invitation(key, line.format())


async def join(vault: Vault, request: JoinRequest) -> Membership:
    """Exchange a registration key for a certificate.

    The key is consumed in the transaction that issues. The same key with the same public key answers the same
    certificate again. Raises `KeyRefusedError`, `InvalidValueError`, `RefusedError`.
    """
    public_key = requested_key(request.signing_request)
    public_key_hash = key_hash(public_key)
    now = vault.clock.now()
    async with vault.store.read() as reading:
        # Refuses strangers without taking the writer's turn from anybody.
        await _check_key(reading, request, public_key_hash, now)
    async with vault.store.write() as records:
        key = await _check_key(records, request, public_key_hash, now)
        if key.host_id is not None and key.certificate_chain is not None:
            return _membership(key.host_id, key.site, key.certificate_chain)
        await _check_name_is_free(records, request.host_name)
        host_id = HostId(vault.randomness.uuid())
        issued = vault.authority.issue(Role.HOST, host_id, public_key, now)
        host = Host(host_id, request.host_name, key.site, now, cloud=request.cloud)
        await records.save(key.used(host, public_key_hash, issued.chain, now))
    return _membership(host_id, key.site, issued.chain)


async def _check_key(
    records: Records, request: JoinRequest, public_key_hash: bytes, now: datetime
) -> RegistrationKey:
    key = await records.keys.find(request.key_id)
    return registration_keys.check(key, request.secret, public_key_hash, now)


async def _check_name_is_free(records: Records, name: str) -> None:
    check_name("host", name, "host_name")
    if await records.hosts.is_taken(name):
        raise RefusedError(
            "host-name-taken",
            f"The vault has a host {name} already.",
            "Set another name in the agent's settings and join again: the key was not used.",
        )


def _membership(host_id: HostId, site: str, chain: bytes) -> Membership:
    return Membership(host_id, site, chain, caller_from_certificate(chain).not_after)
