from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.certificates import MAX_UNUSED, CertificateState
from coordinator.domain.commands import by_operator
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.events import EventKind
from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.operators import (
    create_operator,
    own_certificate,
    recognise,
    renew_operator,
    revoke_operator,
)
from coordinator.orchestration.vault import Vault
from replikera.identity import Caller, Credentials, Role, generate_private_key
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.asking import new_operator, signing_text
from tests.unit.coordinator.vaults import BY_ANN, save

OWNER = OperatorRole.OWNER
KEYED = by_operator("ann", "key-1", b"digest")


async def state_of(vault: Vault, caller: Caller) -> CertificateState:
    async with vault.store.read() as records:
        return (await records.certificates.get(caller.certificate_id)).state


async def renewed(vault: Vault, credentials: Credentials) -> Credentials:
    key = generate_private_key()
    made = await renew_operator(vault, BY_ANN, credentials.caller, signing_text(key))
    return Credentials(made.certificate.chain, key, credentials.root_certificate)


async def refusal(vault: Vault, caller: Caller) -> str:
    with pytest.raises(ForbiddenError) as caught:
        await recognise(vault, caller)
    assert caught.value.remedy
    return caught.value.code


async def test_a_new_operator_is_recognised_with_its_role(vault: Vault) -> None:
    credentials = await new_operator(vault, "rita", OperatorRole.READER)
    caller = credentials.caller
    assert (caller.role, caller.name, caller.vault_id) == (Role.OPERATOR, "rita", vault.record.id)
    assert await state_of(vault, caller) is CertificateState.ISSUED
    assert (await recognise(vault, caller)).role is OperatorRole.READER
    assert await state_of(vault, caller) is CertificateState.ACTIVE
    async with vault.store.read() as records:
        assert (await own_certificate(records, caller)).name == "rita"


async def test_a_change_of_role_acts_at_once(vault: Vault) -> None:
    caller = (await new_operator(vault, "rita", OperatorRole.READER)).caller
    operator = await recognise(vault, caller)
    await save(vault, replace(operator, role=OWNER))
    assert (await recognise(vault, caller)).role is OWNER


async def test_the_first_use_of_a_renewed_certificate_ends_the_older_ones(vault: Vault) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    await recognise(vault, old.caller)
    lost, new = await renewed(vault, old), await renewed(vault, old)
    # Good until the new one is used.
    await recognise(vault, old.caller)
    await recognise(vault, new.caller)
    for gone in (old, lost):
        assert await refusal(vault, gone.caller) == "certificate-superseded"
    assert (await recognise(vault, new.caller)).name == "rita"


async def test_a_newer_certificate_survives_the_first_use_of_an_older_one(
    vault: Vault, clock: VirtualClock
) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    first = await renewed(vault, old)
    clock.advance(1)
    second = await renewed(vault, old)
    await recognise(vault, first.caller)
    assert (await recognise(vault, second.caller)).name == "rita"
    assert await refusal(vault, first.caller) == "certificate-superseded"


async def test_a_request_for_the_same_key_gets_the_same_certificate(vault: Vault) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    request = signing_text(generate_private_key())
    first = await renew_operator(vault, BY_ANN, old.caller, request)
    again = await renew_operator(vault, BY_ANN, old.caller, request)
    assert again == first


async def test_a_renewal_is_done_once_for_one_key_of_a_request(vault: Vault) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    keyed = by_operator("rita", "key", b"digest")
    request = signing_text(generate_private_key())
    first = await renew_operator(vault, keyed, old.caller, request)
    assert await renew_operator(vault, keyed, old.caller, request) == first
    with pytest.raises(RefusedError) as caught:
        await renew_operator(vault, by_operator("rita", "key", b"other"), old.caller, request)
    assert caught.value.code == "idempotency-key-reused"


async def test_certificates_that_nobody_uses_are_bounded(vault: Vault) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    await recognise(vault, old.caller)
    newest = await renewed(vault, old)
    for _ in range(MAX_UNUSED - 1):
        newest = await renewed(vault, old)
    with pytest.raises(RefusedError) as caught:
        await renewed(vault, old)
    assert caught.value.code == "too-many-certificates"
    await recognise(vault, newest.caller)
    assert (await renewed(vault, newest)).caller.name == "rita"


async def test_an_older_certificate_of_a_lost_vault_is_a_copy(
    vault: Vault, clock: VirtualClock
) -> None:
    lost = vault.authority.issue_credentials(Role.OPERATOR, "rita", vault.clock.now())
    clock.advance(60)
    await new_operator(vault, "rita", OperatorRole.READER)
    assert await refusal(vault, lost.caller) == "certificate-superseded"


async def test_creating_twice_by_mistake_answers_the_same_certificate(vault: Vault) -> None:
    request = signing_text(generate_private_key())
    first = await create_operator(vault, KEYED, "rita", OWNER, request)
    assert await create_operator(vault, KEYED, "rita", OWNER, request) == first
    with pytest.raises(RefusedError) as caught:
        await create_operator(vault, BY_ANN, "rita", OWNER, request)
    assert caught.value.code == "operator-name-taken"


@pytest.mark.parametrize("text", ["!", "AAAA", "QUJD", "ä"])
async def test_what_is_not_a_signing_request_is_refused(vault: Vault, text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        await create_operator(vault, BY_ANN, "rita", OWNER, text)
    assert (caught.value.code, caught.value.field) == (
        "invalid-signing-request",
        "certificate_signing_request",
    )


async def test_a_revoked_operator_is_refused_at_once_with_all_its_certificates(
    vault: Vault,
) -> None:
    old = await new_operator(vault, "rita", OperatorRole.READER)
    await recognise(vault, old.caller)
    new = await renewed(vault, old)
    revoked = await revoke_operator(vault, KEYED, "rita", "left")
    assert revoked.revoked_at == vault.clock.now()
    assert await revoke_operator(vault, KEYED, "rita", "left") == revoked
    for gone in (old, new):
        assert await state_of(vault, gone.caller) is CertificateState.DENIED
        assert vault.denials.refusal(gone.caller)
        assert await refusal(vault, gone.caller) == "certificate-denied"
    async with vault.store.read() as records:
        page = await records.history.page(None, 100, kind=None, subject=revoked.id, after=None)
    assert page.items[0].kind is EventKind.OPERATOR_REVOKED
    assert page.items[0].actor == "operator/ann"
    with pytest.raises(RefusedError):
        await create_operator(vault, BY_ANN, "rita", OWNER, signing_text(generate_private_key()))


async def test_the_last_owner_who_can_come_in_is_not_revoked(
    vault: Vault, clock: VirtualClock
) -> None:
    with pytest.raises(RefusedError) as caught:
        await revoke_operator(vault, BY_ANN, "ann", "")
    assert caught.value.code == "last-owner"
    await new_operator(vault, "olga", OWNER)
    clock.advance(timedelta(days=31).total_seconds())
    olga = await new_operator(vault, "oleg", OWNER)
    await recognise(vault, olga.caller)
    with pytest.raises(RefusedError):
        await revoke_operator(vault, BY_ANN, "oleg", "")
    assert (await revoke_operator(vault, BY_ANN, "ann", "")).revoked_at is not None


async def test_a_certificate_of_a_lost_vault_counts_where_its_operator_is_known(
    vault: Vault,
) -> None:
    registered = await new_operator(vault, "rita", OperatorRole.READER)
    await recognise(vault, registered.caller)
    now = vault.clock.now()
    later = vault.authority.issue_credentials(Role.OPERATOR, "rita", now)
    assert (await recognise(vault, later.caller)).name == "rita"
    assert await state_of(vault, later.caller) is CertificateState.ACTIVE
    assert await refusal(vault, registered.caller) == "certificate-superseded"
    stranger = vault.authority.issue_credentials(Role.OPERATOR, "sue", now)
    assert await refusal(vault, stranger.caller) == "operator-unknown"


async def test_a_connection_does_not_outlive_its_certificate(
    vault: Vault, clock: VirtualClock
) -> None:
    caller = (await new_operator(vault, "rita", OperatorRole.READER)).caller
    clock.advance((caller.not_after - clock.now()).total_seconds())
    assert await refusal(vault, caller) == "certificate-expired"


async def test_nobody_is_found_under_an_id_in_place_of_a_name(vault: Vault) -> None:
    caller = (await new_operator(vault, "rita", OperatorRole.READER)).caller
    operator = await recognise(vault, caller)
    assert await refusal(vault, replace(caller, name=operator.id)) == "operator-unknown"


async def test_a_known_caller_costs_no_write(vault: Vault) -> None:
    caller = (await new_operator(vault, "rita", OperatorRole.READER)).caller
    await recognise(vault, caller)
    async with vault.store.write():
        assert (await recognise(vault, caller)).name == "rita"
