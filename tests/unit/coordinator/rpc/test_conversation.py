import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator.orchestration.trust import quarantine_host, retire_host, revoke_host
from coordinator.orchestration.vault import Vault
from coordinator.rpc import conversation as module
from coordinator.rpc.errors import StatusError
from coordinator.rpc.session import HostSessionService
from coordinator.store.errors import StoreError
from replikera.identity import Caller
from replikera.wire.v1 import orders_pb2, session_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.rpc.sessions import (
    PatientClock,
    Served,
    equipped,
    hello,
    serving,
    welcomed,
)
from tests.unit.coordinator.vaults import BY_ANN, opened


@pytest.fixture
def clock() -> VirtualClock:
    return PatientClock()


@pytest.fixture
async def caller(vault: Vault) -> Caller:
    return await equipped(vault)


async def refusal(served: Served) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await served.ended()
    return caught.value


async def test_a_host_is_welcomed_with_the_place_in_the_history(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller) as (_, welcome):
        async with vault.store.read() as records:
            head = await records.head()
        assert (welcome.host_id, welcome.is_reconciling) == (TARGET.id, False)
        assert (welcome.control_version, welcome.control_digest) == (head.number, head.digest)
        assert welcome.now.ToMilliseconds() == vault.clock.now().timestamp() * 1000


async def test_a_newer_deny_list_is_asked_for_after_the_welcome(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller, deny_list_version=2) as (served, welcome):
        assert welcome.is_reconciling
        assert await served.kinds() == ["send_deny_list"]


async def test_a_host_that_cannot_be_written_to_is_gone(vault: Vault, caller: Caller) -> None:
    async with welcomed(vault, caller) as (served, _):
        served.context.is_broken = True
        served.requests.send(heartbeat=session_pb2.Heartbeat(number=2))
        await served.ended()


async def test_a_host_that_is_gone_before_it_is_welcomed_is_no_error(
    vault: Vault, caller: Caller
) -> None:
    async with serving(HostSessionService(vault), caller, hello()) as served:
        served.context.is_broken = True
        await served.ended()


async def test_a_host_that_does_not_read_is_gone(
    vault: Vault, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    async with welcomed(vault, caller) as (served, _):
        monkeypatch.setattr(served.context, "write", lambda _message: asyncio.Event().wait())
        served.requests.send(heartbeat=session_pb2.Heartbeat(number=2))
        await served.ended()


async def test_a_newer_session_takes_the_place_of_an_older_one(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller) as (first, _), welcomed(vault, caller) as (second, _):
        error = await refusal(first)
        assert error.status is grpc.StatusCode.ABORTED
        assert str(error).startswith("session-replaced: ")
        assert await second.kinds() == []


async def test_a_vault_that_stops_tells_its_hosts_and_lets_them_finish(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller) as (served, _):
        vault.presence.stop()
        assert (await served.next()).HasField("drain")
        assert await served.kinds() == []


async def test_a_host_that_is_recalled_and_stays_is_sent_away(
    vault: Vault, caller: Caller, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with welcomed(vault, caller) as (served, _):
        monkeypatch.setattr(type(clock), "sleep", VirtualClock.sleep)
        vault.presence.drain()
        assert (await served.next()).HasField("drain")
        error = await refusal(served)
    assert str(error).startswith("session-recalled: ")
    assert module.RECALL_SECONDS in clock.slept


@pytest.mark.parametrize(
    ("deny", "code"),
    [
        (lambda vault, _: revoke_host(vault, BY_ANN, "b1", "stolen"), "host-revoked"),
        (lambda vault, _: retire_host(vault, BY_ANN, "b1", ""), "host-retired"),
        (lambda vault, caller: quarantine_host(vault, caller, "Two."), "host-quarantined"),
    ],
)
async def test_a_live_session_of_a_denied_host_ends_at_once_and_says_why(
    vault: Vault, caller: Caller, deny: Any, code: str
) -> None:
    async with welcomed(vault, caller) as (served, _):
        await deny(vault, caller)
        error = await refusal(served)
    assert error.status is grpc.StatusCode.PERMISSION_DENIED
    assert str(error).startswith(f"{code}: ")
    assert not vault.presence.is_connected(TARGET.id)


async def test_a_denied_host_is_sent_away_although_why_cannot_be_read(
    vault: Vault, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_given: object) -> None:
        raise StoreError("database-failed", "It failed.", "Look.")

    monkeypatch.setattr(module, "denial", broken)
    async with welcomed(vault, caller) as (served, _):
        await revoke_host(vault, BY_ANN, "b1", "")
        assert (await refusal(served)).status is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_certificate_ends_its_session(tmp_path: Path) -> None:
    async with opened(tmp_path, VirtualClock()) as vault:
        caller = await equipped(vault)
        soon = replace(caller, not_after=vault.clock.now() + timedelta(seconds=150))
        async with welcomed(vault, soon) as (served, _):
            error = await refusal(served)
        assert vault.clock.now() == soon.not_after
    assert error.status is grpc.StatusCode.UNAUTHENTICATED
    assert "replikera host readmit" in str(error)


async def test_the_database_failing_ends_the_session_for_another_try(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller) as (served, _):
        await served.settled()
        await vault.store.close()
        served.requests.send(inventory=session_pb2.Inventory())
        assert (await refusal(served)).status is grpc.StatusCode.UNAVAILABLE


async def test_orders_that_cannot_be_read_end_the_session_for_another_try(
    vault: Vault, caller: Caller
) -> None:
    async with welcomed(vault, caller) as (served, _):
        await served.settled()
        await vault.store.close()
        vault.presence.wake_all()
        assert (await refusal(served)).status is grpc.StatusCode.UNAVAILABLE


async def test_what_a_host_says_wrongly_is_logged_once_and_not_without_end(
    vault: Vault, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda event, **_facts: lines.append(event))
    async with welcomed(vault, caller) as (served, _):
        for _ in range(3):
            for at in range(module.MAX_REFUSALS_LOGGED + 5):
                served.requests.send(progress=orders_pb2.OrderProgress(order_id=f"not mine {at}"))
        await served.settled()
    assert lines == ["host message refused"] * module.MAX_REFUSALS_LOGGED
