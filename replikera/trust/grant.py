"""Grants: this source host may send this protection to this target host in this epoch until then."""

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import DecodeError

from replikera.trust.fields import FieldError, read_id, read_number, read_time, time_stamp
from replikera.trust.signing import DocumentSigner, Kind, SignatureError, verify
from replikera.wire.v1 import trust_pb2, types_pb2


class GrantError(SignatureError):
    """A grant that is malformed, not signed by the vault, or of another vault."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of the vault `vault_id`. `epoch` and `generation` are the protection's epoch."""

    vault_id: str
    protection_id: str
    epoch: int
    generation: str
    source_host_id: str
    target_host_id: str
    version: int
    not_before: datetime
    not_after: datetime


def sign_grant(signer: DocumentSigner, grant: Grant) -> bytes:
    """Return the grant signed."""
    content = trust_pb2.Grant(
        vault_id=grant.vault_id,
        protection_id=grant.protection_id,
        epoch=types_pb2.Epoch(number=grant.epoch, generation=grant.generation),
        source_host_id=grant.source_host_id,
        target_host_id=grant.target_host_id,
        version=grant.version,
        not_before=time_stamp(grant.not_before),
        not_after=time_stamp(grant.not_after),
    )
    return signer.sign(Kind.GRANT, content.SerializeToString(deterministic=True))


def open_grant(signed: bytes, *, vault_id: str, root_certificate: bytes, now: datetime) -> Grant:
    """Return a grant that this vault signed. Raises `GrantError`.

    Whether it is valid now, and for whom, is for the caller to judge.
    """
    try:
        content = verify(
            signed, Kind.GRANT, vault_id=vault_id, root_certificate=root_certificate, now=now
        )
        grant = _read(trust_pb2.Grant.FromString(content))
    except (SignatureError, FieldError, DecodeError) as error:
        raise GrantError(f"the grant cannot be believed: {error}") from error
    if grant.vault_id != vault_id:
        raise GrantError(f"the grant is of vault {grant.vault_id}, not of {vault_id}")
    return grant


def _read(message: trust_pb2.Grant) -> Grant:
    grant = Grant(
        vault_id=read_id("vault_id", message.vault_id),
        protection_id=read_id("protection_id", message.protection_id),
        epoch=read_number("epoch", message.epoch.number),
        generation=read_id("generation", message.epoch.generation),
        source_host_id=read_id("source_host_id", message.source_host_id),
        target_host_id=read_id("target_host_id", message.target_host_id),
        version=read_number("version", message.version),
        not_before=read_time("not_before", message.not_before),
        not_after=read_time("not_after", message.not_after),
    )
    if grant.not_before >= grant.not_after:
        raise FieldError("it ends before it begins")
    return grant
