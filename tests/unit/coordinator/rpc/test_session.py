import asyncio
from dataclasses import replace
from typing import Any

import pytest

from coordinator.domain.errors import ForbiddenError, InvalidValueError
from coordinator.orchestration.introductions import Introduction, introduce
from coordinator.orchestration.vault import Vault
from coordinator.rpc import session as module
from coordinator.rpc.errors import StatusError
from coordinator.rpc.session import HostSessionService
from replikera.identity import caller_from_certificate, generate_private_key, signing_request
from replikera.wire.v1 import session_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.rpc.sessions import (
    PatientClock,
    equipped,
    hello,
    serving,
    welcomed,
)
from tests.unit.coordinator.vaults import member, the_host


@pytest.fixture
def clock() -> VirtualClock:
    return PatientClock()


async def test_a_host_that_leaves_is_not_connected_any_more(
    vault: Vault, clock: VirtualClock
) -> None:
    caller = await equipped(vault)
    service = HostSessionService(vault)
    async with serving(service, caller, hello(deny_list_version=0)) as served:
        await served.settled()
        assert vault.presence.is_connected(TARGET.id)
        clock.advance(5)
        await served.settled()
        served.requests.end()
        await served.ended()
    assert not vault.presence.is_connected(TARGET.id)
    assert vault.presence.last_seen_at(TARGET.id) == clock.now()
    await asyncio.wait_for(service.finished(), 5)


async def test_a_listener_that_stops_waits_for_sessions_that_still_end(vault: Vault) -> None:
    caller = await equipped(vault)
    service = HostSessionService(vault)
    async with serving(service, caller, hello()) as served:
        await served.settled()
        finished = asyncio.create_task(service.finished())
        await asyncio.wait([finished], timeout=0.05)
        assert not finished.done()
        served.task.cancel()
        await asyncio.wait_for(finished, 5)
        with pytest.raises(asyncio.CancelledError):
            await served.task


async def test_a_session_without_a_hello_is_refused(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await equipped(vault)
    monkeypatch.setattr(module, "HELLO_SECONDS", 0.05)
    service = HostSessionService(vault)
    for say in (
        lambda served: served.requests.end(),
        lambda served: served.requests.send(heartbeat=session_pb2.Heartbeat(number=1)),
        lambda _served: None,
    ):
        async with serving(service, caller, None) as served:
            say(served)
            with pytest.raises(StatusError, match="no-hello"):
                await served.ended()
    assert vault.presence.contacts() == ()


async def test_a_hello_that_makes_no_sense_is_refused_before_anything_is_kept(
    vault: Vault,
) -> None:
    caller = await equipped(vault)
    before = await the_host(vault, TARGET.id)
    async with serving(HostSessionService(vault), caller, hello(control_digest=b"x")) as served:
        with pytest.raises(InvalidValueError):
            await served.ended()
    assert await the_host(vault, TARGET.id) == before
    assert not vault.presence.is_connected(TARGET.id)


async def test_a_host_claiming_another_hosts_id_in_whatever_it_says_is_itself(
    vault: Vault,
) -> None:
    stranger = replace(await equipped(vault), name="nobody", serial=99)
    async with serving(HostSessionService(vault), stranger, hello()) as served:
        with pytest.raises(ForbiddenError) as caught:
            await served.ended()
    assert caught.value.code == "host-quarantined"
    assert not vault.presence.is_connected(TARGET.id)


async def test_a_host_that_was_introduced_while_reconciling_began_is_recalled(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await equipped(vault)

    async def begun_meanwhile(*given: Any) -> Introduction:
        introduction = await introduce(*given)
        async with vault.store.write() as records:
            await vault.reconciliation.begin(records, "restored", vault.clock.now())
        return introduction

    monkeypatch.setattr(module, "introduce", begun_meanwhile)
    async with welcomed(vault, caller) as (served, welcome):
        assert not welcome.is_reconciling
        assert await served.kinds() == ["drain"]


async def test_a_renewed_certificate_is_answered_with_its_end(vault: Vault) -> None:
    caller = await equipped(vault)
    request = session_pb2.RenewCertificateRequest(
        certificate_signing_request=signing_request(generate_private_key())
    )
    answer = await HostSessionService(vault)._renew(caller, request)
    renewed = caller_from_certificate(answer.certificate_chain)
    assert (renewed.name, renewed.serial != caller.serial) == (TARGET.id, True)
    assert answer.not_after.ToSeconds() == renewed.not_after.timestamp()


async def test_only_a_members_certificate_is_renewed(vault: Vault) -> None:
    await equipped(vault)
    unknown = await member(vault, TARGET.id, is_kept=False)
    request = session_pb2.RenewCertificateRequest(
        certificate_signing_request=signing_request(generate_private_key())
    )
    with pytest.raises(ForbiddenError):
        await HostSessionService(vault)._renew(unknown, request)
