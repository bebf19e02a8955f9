from coordinator.authority.requests import key_hash, requested_key
from coordinator.orchestration.issuing import issue_certificate
from coordinator.orchestration.vault import Vault
from replikera.identity import (
    Role,
    caller_from_certificate,
    generate_private_key,
    signing_request,
)


async def test_what_is_issued_is_what_the_register_has(vault: Vault) -> None:
    key = requested_key(signing_request(generate_private_key()))
    certificate = issue_certificate(vault, Role.HOST, "host-1", key)
    caller = caller_from_certificate(certificate.chain)
    assert certificate.id == caller.certificate_id
    assert (certificate.role, certificate.name) == (caller.role, caller.name)
    assert certificate.not_after == caller.not_after
    assert (certificate.state, certificate.issued_at) == ("issued", vault.clock.now())
    assert certificate.public_key_hash == key_hash(key)
