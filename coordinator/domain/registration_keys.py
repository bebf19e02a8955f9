"""Registration keys: one-time, expiring secrets that a host joins with. Only their SHA-256 is kept.

A key registers a new host, or lets one host that the vault knows join again under its own id.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import (
    IllegalTransitionError,
    InvalidValueError,
    KeyRefusedError,
    RefusedError,
)
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, check_site
from coordinator.domain.identifiers import HostId, KeyId

DEFAULT_LIFE = timedelta(days=5)
LONGEST_LIFE = timedelta(days=7)

_INVITE = "Ask the operator for a new join line: replikera host invite."
_READMIT = "Ask the operator for a new join line: replikera host readmit."


@dataclass(frozen=True, slots=True)
class RegistrationKey(Aggregate):
    """A key for one host of one site. `public_key_hash` and `certificate_chain` are what it was used for.

    `readmits` is the host that alone may join again with it, None for a key that registers a new host.
    """

    id: KeyId
    secret_hash: bytes
    site: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    used_at: datetime | None = None
    host_id: HostId | None = None
    public_key_hash: bytes | None = None
    certificate_chain: bytes | None = None
    readmits: HostId | None = None

    def used(
        self, host_id: HostId, public_key_hash: bytes, certificate_chain: bytes, now: datetime
    ) -> "RegistrationKey":
        """Return the key as one that let this host in, and opens for nobody else any more."""
        return replace(
            self,
            used_at=now,
            host_id=host_id,
            public_key_hash=public_key_hash,
            certificate_chain=certificate_chain,
        )

    def registered(
        self, host: Host, public_key_hash: bytes, certificate_chain: bytes, now: datetime
    ) -> Decision:
        """Decide that `host` is registered with this key, which is consumed by it."""
        key = self.used(host.id, public_key_hash, certificate_chain, now)
        detail = f"{host.name} at {host.site} with key {self.id}"
        event = Event(now, EventKind.HOST_REGISTERED, host.id, detail)
        return Decision(aggregates=(host, key), events=(event,))

    def readmitted(
        self, host: Host, public_key_hash: bytes, certificate_chain: bytes, now: datetime
    ) -> Decision:
        """Decide that `host`, which the key was made for, is back under its id; the key is consumed by it."""
        _, decision = host.rejoined(now, f"{host.name} with key {self.id}")
        key = self.used(host.id, public_key_hash, certificate_chain, now)
        return decision + Decision(aggregates=(key,))

    def revoked(self, now: datetime) -> tuple["RegistrationKey", Decision]:
        """Decide that the key opens nothing any more."""
        if self.used_at is not None:
            raise IllegalTransitionError(
                "registration-key-used",
                f"The registration key {self.id} was used by host {self.host_id}.",
                "Withdraw the trust in that host instead: replikera host revoke.",
            )
        if self.revoked_at is not None:
            raise IllegalTransitionError(
                "registration-key-revoked-already",
                f"The registration key {self.id} was revoked on {self.revoked_at:%Y-%m-%d %H:%M} UTC.",
                "Nothing is left to do.",
            )
        key = replace(self, revoked_at=now)
        event = Event(now, EventKind.KEY_REVOKED, self.id, f"for {self.site}")
        return key, Decision(aggregates=(key,), events=(event,))


def create(
    key_id: KeyId, secret: str, site: str, valid_for: timedelta, now: datetime
) -> tuple[RegistrationKey, Decision]:
    """Decide that whoever brings `secret` within `valid_for` may join one host to `site`."""
    key = RegistrationKey(
        key_id, hash_secret(secret), check_site(site), now, now + _life(valid_for)
    )
    event = Event(now, EventKind.HOST_INVITED, key_id, f"to {site}")
    return key, Decision(aggregates=(key,), events=(event,))


def readmit(
    key_id: KeyId, secret: str, host: Host, valid_for: timedelta, now: datetime, *, reason: str
) -> tuple[RegistrationKey, Decision]:
    """Decide that whoever brings `secret` within `valid_for` is `host`, whatever it did and had before."""
    host.check_readmissible()
    key = RegistrationKey(
        key_id, hash_secret(secret), host.site, now, now + _life(valid_for), readmits=host.id
    )
    detail = f"{host.name} with key {key_id}" + (f": {reason}" if reason else "")
    event = Event(now, EventKind.HOST_READMITTED, host.id, detail)
    return key, Decision(aggregates=(key,), events=(event,))


def check(
    key: RegistrationKey | None, secret: str, public_key_hash: bytes, now: datetime
) -> RegistrationKey:
    """Return the key if `secret` opens it for this public key. Raises `KeyRefusedError`.

    A key that was used by the same public key is returned too: the answer to that use may have been lost. Nothing
    is told about a key to a caller without its secret.
    """
    expected = key.secret_hash if key is not None else bytes(32)
    is_equal = hmac.compare_digest(hash_secret(secret), expected)
    if key is None or not is_equal:
        raise KeyRefusedError("registration-key-wrong", "The registration key is wrong.", _INVITE)
    if key.revoked_at is not None:
        raise _refused("revoked", key, f"was revoked on {key.revoked_at:%Y-%m-%d %H:%M} UTC")
    if now >= key.expires_at:
        raise _refused("expired", key, f"expired on {key.expires_at:%Y-%m-%d %H:%M} UTC")
    if key.public_key_hash is not None and not hmac.compare_digest(
        key.public_key_hash, public_key_hash
    ):
        raise _refused("used", key, "was used by another host")
    return key


def check_member(key: RegistrationKey, existing_host_id: str) -> None:
    """Refuse a key that was not made for whoever brings it. `existing_host_id` is empty for a host without an id.

    Raises `KeyRefusedError`, `RefusedError`.
    """
    if key.readmits is None and existing_host_id:
        raise RefusedError(
            "host-joined-already",
            f"The registration key {key.id} is for a new host, and this one has joined already.",
            "Let it join again under its id: replikera host readmit. To make it a new host, remove the identity of "
            "its agent first: its protections do not come along.",
        )
    if key.readmits is not None and existing_host_id not in ("", key.readmits):
        raise _refused("of-another-host", key, "was made to readmit another host")


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret. It has 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def _life(valid_for: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= valid_for <= LONGEST_LIFE:
        raise InvalidValueError(
            "invalid-key-life",
            f"A registration key cannot live {valid_for.total_seconds():.0f} s.",
            f"Choose 1 s to {LONGEST_LIFE.days} days.",
            field="valid_for_seconds",
        )
    return valid_for


def _refused(why: str, key: RegistrationKey, cause: str) -> KeyRefusedError:
    remedy = _INVITE if key.readmits is None else _READMIT
    return KeyRefusedError(
        f"registration-key-{why}", f"The registration key {key.id} {cause}.", remedy
    )
