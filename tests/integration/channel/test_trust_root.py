"""The question that is asked before anything is trusted."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from replikera.channel import fetch_trust_root
from replikera.identity import Credentials, CredentialsHolder, Role, root_fingerprint
from tests.integration.channel.listeners import TARGET, enrolment_listener, replication_listener
from tests.support.authority import Authority, key_pem, pem


async def test_the_trust_root_is_told_to_a_caller_without_any_trust(authority: Authority) -> None:
    async with enrolment_listener(authority.holder(Role.VAULT, "v")) as address:
        found = await fetch_trust_root(address)
    assert root_fingerprint(found.root_certificate) == root_fingerprint(authority.root_pem)
    assert found.peer_name.startswith("v.vault.")


async def test_an_address_where_nothing_listens_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match=r"no enrolment listener answers at 127\.0\.0\.1:1"):
        await fetch_trust_root("127.0.0.1:1")


async def test_a_listener_of_another_kind_is_a_connection_error(authority: Authority) -> None:
    async with replication_listener(authority.holder(Role.HOST, TARGET)) as address:
        with pytest.raises(ConnectionError, match=f"{address} does not answer as a vault"):
            await fetch_trust_root(address)


async def test_a_certificate_that_is_no_vaults_is_a_connection_error(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = authority.leaf(key.public_key(), ["spiffe://v/vault/v"])
    nameless = Credentials(pem(leaf), key_pem(key), authority.root_pem)
    async with enrolment_listener(CredentialsHolder(nameless)) as address:
        with pytest.raises(ConnectionError, match="0 DNS names"):
            await fetch_trust_root(address)
