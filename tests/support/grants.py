"""A vault's signing key, and hosts that know its root: grants and deny-lists, right and wrong ones."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from agent.grants import GrantReader
from replikera.identity import Credentials, CredentialsHolder, Role, uri_name
from replikera.ports.clock import Clock
from replikera.trust.deny_list import DenyList, sign_deny_list
from replikera.trust.grant import Grant, sign_grant
from replikera.trust.signing import DocumentSigner
from tests.support.authority import VAULT_ID, Authority, make_authority

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class GrantOffice:
    """Signs what it is asked to. `terms` is the grant that is changed field by field."""

    terms: Grant
    authority: Authority = field(default_factory=make_authority)
    signer: DocumentSigner = field(init=False)

    def __post_init__(self) -> None:
        self.signer = self.authority.signer()

    def grant(self, **changes: object) -> bytes:
        """Return a grant, signed."""
        return sign_grant(self.signer, replace(self.terms, **changes))  # type: ignore[arg-type]  # by name

    def deny_list(self, version: int, *denied_hosts: str) -> bytes:
        """Return a list that denies these hosts, signed."""
        identities = frozenset(uri_name(Role.HOST, host, VAULT_ID) for host in denied_hosts)
        content = DenyList(VAULT_ID, version, START, (), identities)
        return sign_deny_list(self.signer, content)

    def reader(self, host_id: str, clock: Clock) -> GrantReader:
        """Return what a host of this vault reads grants with."""
        return GrantReader(
            host_id=host_id,
            vault_id=VAULT_ID,
            root_certificate=self.authority.root_pem,
            clock=clock,
        )

    def holder(self, host_id: str) -> CredentialsHolder:
        """Return credentials of a host."""
        return self.authority.holder(Role.HOST, host_id)


def terms(
    protection_id: str,
    generation: str,
    source_host_id: str,
    target_host_id: str,
    *,
    not_before: datetime = START - timedelta(days=1),
    valid_for: timedelta = timedelta(days=365),
) -> Grant:
    """Return a grant of epoch 1 and version 1."""
    return Grant(
        vault_id=VAULT_ID,
        protection_id=protection_id,
        epoch=1,
        generation=generation,
        source_host_id=source_host_id,
        target_host_id=target_host_id,
        version=1,
        not_before=not_before,
        not_after=not_before + valid_for,
    )


NOBODY = Credentials(b"", b"", b"")
"""For tests in which credentials are only told apart."""
