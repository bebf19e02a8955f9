"""Deny-lists: which certificates and hosts are not to be believed although their certificates have not expired."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.message import DecodeError

from replikera.trust.fields import FieldError, read_id, read_number, read_time, time_stamp
from replikera.trust.signing import DocumentSigner, Kind, SignatureError, content_of, verify
from replikera.wire.v1 import trust_pb2

MAX_DENIED: Final = 4096
"""Certificates, and identities, that one list may hold: with names of the usual length it is then about 850 KiB."""

_MAX_SERIAL_BYTES: Final = 20
_MAX_IDENTITY_LENGTH: Final = 256


class DenyListError(SignatureError):
    """A deny-list that is malformed, too long, not signed by the vault, or of another vault."""


@dataclass(frozen=True, slots=True)
class DeniedCertificate:
    """A certificate that is not believed. `identity` is the URI name in it."""

    serial: int
    identity: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class DenyList:
    """All that is denied at one version. `identities` are URI names of hosts that no certificate helps."""

    vault_id: str
    version: int
    issued_at: datetime
    certificates: tuple[DeniedCertificate, ...]
    identities: frozenset[str]


def sign_deny_list(signer: DocumentSigner, deny_list: DenyList) -> bytes:
    """Return the list signed. Raises `DenyListError` where it holds too much."""
    _check_count(deny_list.certificates, "certificates")
    _check_count(deny_list.identities, "identities")
    content = trust_pb2.DenyList(
        vault_id=deny_list.vault_id,
        version=deny_list.version,
        issued_at=time_stamp(deny_list.issued_at),
        certificates=map(_written, deny_list.certificates),
        identities=sorted(deny_list.identities),
    )
    return signer.sign(Kind.DENY_LIST, content.SerializeToString(deterministic=True))


def open_deny_list(
    signed: bytes, *, vault_id: str, root_certificate: bytes, now: datetime
) -> DenyList:
    """Return a list that this vault signed with a certificate that is valid now. Raises `DenyListError`."""
    try:
        content = verify(
            signed, Kind.DENY_LIST, vault_id=vault_id, root_certificate=root_certificate, now=now
        )
        deny_list = _read(content)
    except (SignatureError, FieldError, DecodeError) as error:
        raise DenyListError(f"the deny-list cannot be believed: {error}") from error
    if deny_list.vault_id != vault_id:
        raise DenyListError(f"the deny-list is of vault {deny_list.vault_id}, not of {vault_id}")
    return deny_list


def reopen_deny_list(signed: bytes, *, vault_id: str, root_certificate: bytes) -> DenyList:
    """Return a list that was kept, whose signer's certificate may have expired since. Raises `DenyListError`.

    A list holds as long as there is no newer one; its signer has to have been valid when it signed.
    """
    try:
        issued_at = _read(content_of(signed)).issued_at
    except (SignatureError, FieldError, DecodeError) as error:
        raise DenyListError(f"the deny-list cannot be believed: {error}") from error
    return open_deny_list(
        signed, vault_id=vault_id, root_certificate=root_certificate, now=issued_at
    )


def _read(content: bytes) -> DenyList:
    message = trust_pb2.DenyList.FromString(content)
    _check_count(message.certificates, "certificates")
    _check_count(message.identities, "identities")
    return DenyList(
        vault_id=read_id("vault_id", message.vault_id),
        version=read_number("version", message.version),
        issued_at=read_time("issued_at", message.issued_at),
        certificates=tuple(map(_denied, message.certificates)),
        identities=frozenset(map(_identity, message.identities)),
    )


def _written(denied: DeniedCertificate) -> trust_pb2.DeniedCertificate:
    length = (denied.serial.bit_length() + 7) // 8
    return trust_pb2.DeniedCertificate(
        serial=denied.serial.to_bytes(length, "big"),
        identity=denied.identity,
        not_after=time_stamp(denied.not_after),
    )


def _denied(message: trust_pb2.DeniedCertificate) -> DeniedCertificate:
    serial = message.serial
    if not 0 < len(serial) <= _MAX_SERIAL_BYTES or serial[0] == 0:
        raise FieldError(f"a serial number of {len(serial)} bytes, or with leading zeros")
    return DeniedCertificate(
        serial=int.from_bytes(serial, "big"),
        identity=_identity(message.identity),
        not_after=read_time("not_after", message.not_after),
    )


def _identity(text: str) -> str:
    if not text.startswith("spiffe://") or len(text) > _MAX_IDENTITY_LENGTH:
        raise FieldError(f"{text[:64]!r} is not a name in a certificate")
    return text


def _check_count(items: Iterable[object], what: str) -> None:
    count = sum(1 for _ in items)
    if count > MAX_DENIED:
        raise DenyListError(f"a deny-list with {count} {what}, above {MAX_DENIED}")
