"""Joining a vault, for the first time or after an operator readmitted the host: a registration key for a certificate.

The secret leaves this host only after the vault has proved itself: the listener's root is fetched unverified and must
have the fingerprint of the join line; then a channel is opened that trusts this root alone and no name but a vault's,
for a host of the same vault has a certificate of the same root. A host that is readmitted makes a new key beside the
old one, and what it was given before counts until the new certificate is durable.
"""

from pathlib import Path

import grpc
import grpc.aio

from agent.control.membership import (
    Membership,
    MembershipError,
    MembershipFolder,
    join_name,
)
from replikera.channel import fetch_trust_root, open_enrolment_channel
from replikera.enrolment import JoinLine
from replikera.identity import (
    Credentials,
    IdentityError,
    Role,
    dns_name,
    root_fingerprint,
    signing_request,
)
from replikera.ports.workers import Worker
from replikera.wire.v1 import enrolment_pb2, enrolment_pb2_grpc

ENROL_SECONDS = 30.0
_ANSWERED = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class JoinError(Exception):
    """The host did not join; the message says why and what to do."""


async def join(
    line: JoinLine, folder: MembershipFolder, worker: Worker, *, host_name: str, cloud: str
) -> Membership:
    """Join the vault of the join line and keep the identity, durably. Raises `JoinError`.

    A host that is a member already stays the host that it is.
    """
    known = await _known(folder, worker)
    root, peer_name = await _trusted_root(line)
    if known is not None:
        _check_same_vault(known, peer_name, folder)
    name = join_name(line.key_id)
    key = await worker.run(folder.pending_key, name)
    request = enrolment_pb2.EnrolRequest(
        key_id=line.key_id,
        secret=line.secret,
        certificate_signing_request=_request_of(key, folder.path / name),
        host_name=host_name,
        cloud=cloud,
        existing_host_id=known.host_id if known is not None else "",
    )
    answer = await _enrol(line.address, peer_name, root, request)
    membership = Membership(
        vault_id=answer.vault_id,
        vault_name=answer.vault_name,
        host_id=answer.host_id,
        session_address=answer.session_address,
        site=answer.site,
    )
    if known is not None:
        _check_same_host(known, membership)
    credentials = Credentials(answer.certificate_chain, key, root)
    try:
        await worker.run(folder.adopt, name, membership, credentials)
    except IdentityError as error:
        raise JoinError(
            f"the vault answered with a certificate that is not this host's: {error}"
        ) from error
    return membership


async def _known(folder: MembershipFolder, worker: Worker) -> Membership | None:
    if not await worker.run(folder.is_complete):
        return None
    try:
        # Not the credentials: a host that has lost its key is readmitted too.
        return await worker.run(folder.membership)
    except MembershipError as error:
        raise JoinError(str(error)) from error


def _check_same_vault(known: Membership, peer_name: str, folder: MembershipFolder) -> None:
    if peer_name != dns_name(Role.VAULT, known.vault_id, known.vault_id):
        raise JoinError(
            f"this host has joined another vault already, {known.vault_name}: its identity is in {folder.path}. "
            "Nothing was sent to the one of the join line. Remove that folder first if the host is to leave its vault"
        )


def _check_same_host(known: Membership, answered: Membership) -> None:
    if (answered.host_id, answered.vault_id) != (known.host_id, known.vault_id):
        raise JoinError(
            f"this is host {known.host_id}, and the vault answered for host {answered.host_id}: nothing was changed "
            "here. Ask for a join line that readmits this host (replikera host readmit)"
        )


async def _trusted_root(line: JoinLine) -> tuple[bytes, str]:
    try:
        vault = await fetch_trust_root(line.address)
        fingerprint = root_fingerprint(vault.root_certificate)
    except (ConnectionError, IdentityError) as error:
        raise JoinError(
            f"{error}. Check that the coordinator runs, and that {line.address} is reachable from here"
        ) from error
    if fingerprint != line.root_fingerprint:
        raise JoinError(
            f"the vault at {line.address} is not the one of the join line: its root has the SHA-256 "
            f"{fingerprint}, expected was {line.root_fingerprint}. Nothing was sent to it. Check the "
            "address, and ask for a new join line"
        )
    _, _, vault_id = vault.peer_name.rpartition(f".{Role.VAULT}.")
    if vault.peer_name != dns_name(Role.VAULT, vault_id, vault_id):
        raise JoinError(
            f"what answers at {line.address} has the certificate of {vault.peer_name}, which is not a "
            "vault. Nothing was sent to it. Somebody may be listening in: tell your operators"
        )
    return vault.root_certificate, vault.peer_name


def _request_of(key: bytes, path: Path) -> bytes:
    try:
        return signing_request(key)
    except ValueError as error:
        raise JoinError(
            f"the private key in {path} is damaged: {error}. Remove that folder and ask for a new join line"
        ) from error


async def _enrol(
    address: str, peer_name: str, root: bytes, request: enrolment_pb2.EnrolRequest
) -> enrolment_pb2.EnrolResponse:
    async with open_enrolment_channel(
        address, peer_name=peer_name, root_certificate=root
    ) as channel:
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            return await stub.Enrol(request, timeout=ENROL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _refused(address, error) from error


def _refused(address: str, error: grpc.aio.AioRpcError) -> JoinError:
    if error.code() in _ANSWERED:
        return JoinError(f"the vault refused: {error.details()}")
    return JoinError(
        f"the vault at {address} did not answer: {error.details()}. Run the same command again: the key "
        "stays good for this host"
    )
