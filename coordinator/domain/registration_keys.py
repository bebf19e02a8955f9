"""Registration keys: one-time, expiring secrets that a host joins with. Only their SHA-256 is kept."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import InvalidValueError, KeyRefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, check_site
from coordinator.domain.identifiers import HostId, KeyId

DEFAULT_LIFE = timedelta(days=5)
LONGEST_LIFE = timedelta(days=7)

_INVITE = "Ask the operator for a new join line: replikera host invite."


@dataclass(frozen=True, slots=True)
class RegistrationKey(Aggregate):
    """A key for one host of one site. `public_key_hash` and `certificate_chain` are what it was used for."""

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

    def used(
        self, host: Host, public_key_hash: bytes, certificate_chain: bytes, now: datetime
    ) -> Decision:
        """Decide that `host` is registered with this key, which is consumed by it."""
        key = replace(
            self,
            used_at=now,
            host_id=host.id,
            public_key_hash=public_key_hash,
            certificate_chain=certificate_chain,
        )
        detail = f"{host.name} at {host.site} with key {self.id}"
        event = Event(now, EventKind.HOST_REGISTERED, host.id, detail)
        return Decision(aggregates=(host, key), events=(event,))


def create(
    key_id: KeyId, secret: str, site: str, valid_for: timedelta, now: datetime
) -> tuple[RegistrationKey, Decision]:
    """Decide that whoever brings `secret` within `valid_for` may join one host to `site`."""
    if not timedelta(seconds=1) <= valid_for <= LONGEST_LIFE:
        raise InvalidValueError(
            "invalid-key-life",
            f"A registration key cannot live {valid_for.total_seconds():.0f} s.",
            f"Choose 1 s to {LONGEST_LIFE.days} days.",
            field="valid_for_seconds",
        )
    key = RegistrationKey(key_id, hash_secret(secret), check_site(site), now, now + valid_for)
    event = Event(now, EventKind.HOST_INVITED, key_id, f"to {site}")
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


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret. It has 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def _refused(why: str, key: RegistrationKey, cause: str) -> KeyRefusedError:
    return KeyRefusedError(
        f"registration-key-{why}", f"The registration key {key.id} {cause}.", _INVITE
    )
