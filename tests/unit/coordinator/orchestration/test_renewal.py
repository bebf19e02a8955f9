from datetime import timedelta

import pytest

from coordinator.domain.certificates import MAX_UNUSED, CertificateState
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.hello import HostHello
from coordinator.domain.hosts import HostFacts, HostState
from coordinator.orchestration.introductions import introduce
from coordinator.orchestration.renewal import renew
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from replikera.identity import (
    Caller,
    caller_from_certificate,
    generate_private_key,
    signing_request,
)
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import SOURCE
from tests.unit.coordinator.vaults import BY_ANN, kinds, member, save, states, the_host

HELLO = HostHello(HostFacts("", "hyperv", "1.0", "a1:9", timedelta(0)), "a1", (0, b""), 1, "run-1")


def a_request() -> bytes:
    return signing_request(generate_private_key())


@pytest.fixture
async def caller(vault: Vault) -> Caller:
    await save(vault, SOURCE)
    return await member(vault, SOURCE.id)


async def refused(vault: Vault, caller: Caller) -> str:
    with pytest.raises(ForbiddenError) as caught:
        await renew(vault, caller, a_request())
    return caught.value.code


async def test_a_new_certificate_is_issued_and_the_present_one_stays_good(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(4 * 86400)
    renewed = await renew(vault, caller, a_request())
    fresh = caller_from_certificate(renewed.certificate_chain)
    assert (renewed.host_id, renewed.not_after) == (SOURCE.id, fresh.not_after)
    assert (fresh.name, fresh.role) == (caller.name, caller.role)
    assert fresh.not_after - caller.not_after == timedelta(days=4)
    assert await states(vault, SOURCE.id) == {
        caller.certificate_id: "active",
        fresh.certificate_id: "issued",
    }
    assert (await kinds(vault))[-1] == "certificate-renewed"


async def test_the_same_key_is_answered_with_the_same_certificate(
    vault: Vault, caller: Caller
) -> None:
    asked = a_request()
    first = await renew(vault, caller, asked)
    assert await renew(vault, caller, asked) == first
    await introduce(vault, caller_from_certificate(first.certificate_chain), HELLO)
    assert (
        await renew(vault, caller_from_certificate(first.certificate_chain), asked)
    ).certificate_chain == first.certificate_chain
    assert (await kinds(vault)).count("certificate-renewed") == 1


async def test_a_certificate_that_is_not_believed_is_not_answered_again(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    asked = a_request()
    lost = await renew(vault, caller, asked)
    clock.advance(60)
    newer = await renew(vault, caller, a_request())
    used = caller_from_certificate(newer.certificate_chain)
    await introduce(vault, used, HELLO)
    again = await renew(vault, used, asked)
    assert again.certificate_chain not in (lost.certificate_chain, newer.certificate_chain)


async def test_whoever_renews_a_replaced_certificate_is_a_copy(
    vault: Vault, caller: Caller, clock: VirtualClock
) -> None:
    clock.advance(60)
    renewed = await member(vault, SOURCE.id, CertificateState.ISSUED)
    await introduce(vault, renewed, HELLO)
    assert await refused(vault, caller) == "host-quarantined"
    assert (await the_host(vault, SOURCE.id)).state is HostState.QUARANTINED
    assert vault.denials.refusal(renewed) is not None


async def test_a_host_that_is_not_trusted_gets_no_certificate(vault: Vault, caller: Caller) -> None:
    await revoke_host(vault, BY_ANN, "a1", "")
    before = await states(vault, SOURCE.id)
    assert await refused(vault, caller) == "host-revoked"
    assert await states(vault, SOURCE.id) == before


async def test_a_denied_certificate_and_one_that_is_not_known_yet_get_no_other(
    vault: Vault, caller: Caller
) -> None:
    denied = await member(vault, SOURCE.id, CertificateState.DENIED)
    assert await refused(vault, denied) == "certificate-denied"
    unknown = await member(vault, SOURCE.id, is_kept=False)
    assert await refused(vault, unknown) == "certificate-unknown"
    assert (await the_host(vault, SOURCE.id)).state is HostState.ACTIVE


async def test_a_host_that_the_vault_does_not_know_gets_none(vault: Vault) -> None:
    stranger = await member(vault, SOURCE.id)
    assert await refused(vault, stranger) == "host-not-registered"


async def test_a_request_without_proof_of_possession_is_refused(
    vault: Vault, caller: Caller
) -> None:
    damaged = bytearray(a_request())
    damaged[-1] ^= 1
    for wrong in (bytes(damaged), b"", b"nonsense"):
        with pytest.raises(InvalidValueError):
            await renew(vault, caller, wrong)


async def test_a_host_does_not_fill_the_register(vault: Vault, caller: Caller) -> None:
    for _ in range(MAX_UNUSED):
        await renew(vault, caller, a_request())
    with pytest.raises(RefusedError) as caught:
        await renew(vault, caller, a_request())
    assert caught.value.code == "too-many-certificates"
    assert len(await states(vault, SOURCE.id)) == MAX_UNUSED + 1
