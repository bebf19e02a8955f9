"""Registering hosts: a registration key is exchanged for a certificate."""

from dataclasses import dataclass
from datetime import datetime

from coordinator.authority.requests import key_hash, requested_key
from coordinator.domain import registration_keys
from coordinator.domain.certificates import Certificate
from coordinator.domain.commands import by_host
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import RefusedError
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, check_name
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.sites import ensure_cloud
from coordinator.orchestration.trust import deny_member, publish_deny_list
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from replikera.identity import Role, caller_from_certificate


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a host sends to join. `existing_host_id` is the id that it has already, empty for a new host."""

    key_id: str
    secret: str
    signing_request: bytes
    host_name: str
    cloud: str
    existing_host_id: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a host gets when it has joined, or renewed its certificate."""

    host_id: HostId
    site: str
    certificate_chain: bytes
    not_after: datetime


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
        vault.reconciliation.check_serving()
        key = await _check_key(records, request, public_key_hash, now)
        if key.host_id is not None and key.certificate_chain is not None:
            return _membership(key.host_id, key.site, key.certificate_chain)
        host = await _host(vault, records, key, request, now)
        certificate = issue_certificate(vault, Role.HOST, host.id, public_key)
        if key.readmits is None:
            decision = key.registered(host, public_key_hash, certificate.chain, now)
        else:
            decision = await _readmission(records, key, host, certificate, now)
        decision += Decision(aggregates=(certificate,))
        decision += await ensure_cloud(records, host.site, request.cloud, now)
        await records.save(decision, by_host(host.id))
    if key.readmits is not None:
        await publish_deny_list(vault)
    return _membership(host.id, key.site, certificate.chain)


async def _check_key(
    records: Records, request: JoinRequest, public_key_hash: bytes, now: datetime
) -> RegistrationKey:
    key = await records.keys.find(request.key_id)
    found = registration_keys.check(key, request.secret, public_key_hash, now)
    registration_keys.check_member(found, request.existing_host_id)
    return found


async def _host(
    vault: Vault, records: Records, key: RegistrationKey, request: JoinRequest, now: datetime
) -> Host:
    """Return the host that the key is for; a new one under a name that no other has."""
    if key.readmits is not None:
        host = await records.hosts.get(key.readmits)
        host.check_readmissible()
        return host
    await _check_name_is_free(records, request.host_name)
    host_id = HostId(vault.randomness.uuid())
    return Host(host_id, request.host_name, key.site, now, cloud=request.cloud)


async def _readmission(
    records: Records, key: RegistrationKey, host: Host, certificate: Certificate, now: datetime
) -> Decision:
    """Decide that the host is back, with this certificate alone: whoever has an older one may be its copy."""
    decision = await deny_member(records, Role.HOST, host.id, now)
    return decision + key.readmitted(host, certificate.public_key_hash, certificate.chain, now)


async def _check_name_is_free(records: Records, name: str) -> None:
    check_name("host", name, "host_name")
    if await records.hosts.is_taken(name):
        raise RefusedError(
            "host-name-taken",
            f"The vault has a host {name} already.",
            "Set another name in the agent's settings and join again: the key was not used. If it is that host "
            "itself, readmit it: replikera host readmit.",
        )


def _membership(host_id: HostId, site: str, chain: bytes) -> Membership:
    return Membership(host_id, site, chain, caller_from_certificate(chain).not_after)
