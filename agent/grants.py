"""Grants as this host reads them: signed by its vault, about this protection, from that host to the other."""

from dataclasses import dataclass, fields
from datetime import datetime

from replikera.ports.clock import Clock
from replikera.trust.grant import Grant, GrantError, open_grant

MAX_GRANT_BYTES = 32 * 1024
"""A grant with its certificates is about 3 KiB; a chain is at most 16 KiB."""

_CONTINUES = "Connect the source host to the vault: with a new grant replication continues by itself, without a resync."


class GrantRefusedError(Exception):
    """A grant that does not permit what is asked, in words for an operator."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What a grant has to say. `epoch` is the number of the protection's epoch."""

    protection_id: str
    epoch: int
    generation: str
    source_host_id: str
    target_host_id: str


class GrantReader:
    """Reads grants for one host, by the root of its vault."""

    def __init__(
        self, *, host_id: str, vault_id: str, root_certificate: bytes, clock: Clock
    ) -> None:
        self.host_id = host_id
        self.vault_id = vault_id
        self._root_certificate = root_certificate
        self._clock = clock

    def read(self, signed: bytes, terms: GrantTerms) -> Grant:
        """Return a grant that says exactly this, whether or not it is valid now. Raises `GrantRefusedError`."""
        protection_id = terms.protection_id
        if not signed:
            raise GrantRefusedError(
                "grant-missing",
                f"The source host of protection {protection_id} has no grant of the vault.",
                _CONTINUES,
            )
        if len(signed) > MAX_GRANT_BYTES:
            raise _invalid(protection_id, f"it has {len(signed)} bytes")
        try:
            grant = open_grant(
                signed,
                vault_id=self.vault_id,
                root_certificate=self._root_certificate,
                now=self._clock.now(),
            )
        except GrantError as error:
            raise _invalid(protection_id, str(error)) from error
        if problem := _difference(grant, terms):
            raise _invalid(protection_id, problem)
        return grant

    def check_time(self, grant: Grant) -> None:
        """Refuse a grant that does not permit anything now. Raises `GrantRefusedError`."""
        now = self._clock.now()
        if now < grant.not_before:
            raise _invalid(
                grant.protection_id,
                f"it begins at {_text(grant.not_before)}, and here it is {_text(now)}",
            )
        if now >= grant.not_after:
            raise expired(grant)

    def remaining_seconds(self, grant: Grant) -> float:
        """Return how long a grant still permits anything, not above 0 when it has ended."""
        return (grant.not_after - self._clock.now()).total_seconds()


def expired(grant: Grant) -> GrantRefusedError:
    """Return the refusal of a grant that has ended."""
    return GrantRefusedError(
        "grant-expired",
        f"The grant of protection {grant.protection_id} has expired at {_text(grant.not_after)}.",
        _CONTINUES,
    )


def superseded(grant: Grant, highest: int) -> GrantRefusedError:
    """Return the refusal of a grant when the target has seen a higher version."""
    return GrantRefusedError(
        "grant-superseded",
        f"Version {grant.version} of the grant of protection {grant.protection_id} was replaced: "
        f"the target has seen version {highest}.",
        _CONTINUES,
    )


def _invalid(protection_id: str, problem: str) -> GrantRefusedError:
    return GrantRefusedError(
        "grant-invalid",
        f"The grant presented for protection {protection_id} does not permit it: {problem}.",
        "Check that both hosts are members of one vault and that their clocks are right; "
        "replication is tried again by itself.",
    )


def _difference(grant: Grant, terms: GrantTerms) -> str:
    for field in fields(terms):
        said, expected = getattr(grant, field.name), getattr(terms, field.name)
        if said != expected:
            return f"its {field.name.replace('_', ' ')} is {said}, not {expected}"
    return ""


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
