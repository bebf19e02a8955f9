from pathlib import Path

import pytest

from agent.control.anchor import VaultNotObeyedError
from agent.control.conversation import (
    CarryOut,
    ForgetOutcome,
    Leave,
    Obey,
    PresentGrant,
    ShowDenyList,
    StoreDenyList,
    Withdraw,
)
from agent.grants import GrantRefusedError
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import orders_pb2
from tests.unit.agent.control.sessions import A, Host, digest


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    await host.open()
    return host


async def test_control_state_of_the_vault_is_taken(host: Host) -> None:
    assert await host.duties.do(Obey(3, digest(3))) is None
    assert (host.anchor.number, host.anchor.digest) == (3, digest(3))


async def test_order_is_taken_with_its_control_state(host: Host) -> None:
    order = orders_pb2.Order(order_id=A, control_version=4, control_digest=digest(4))
    await host.duties.do(CarryOut(order))
    assert host.anchor.number == 4
    assert host.orders._waiting.get_nowait() == order


async def test_order_of_an_older_control_state_is_not_taken(host: Host) -> None:
    await host.duties.do(Obey(3, digest(3)))
    with pytest.raises(VaultNotObeyedError):
        await host.duties.do(CarryOut(orders_pb2.Order(order_id=A, control_version=2)))
    assert host.orders._waiting.empty()


async def test_order_whose_control_state_cannot_be_kept_is_not_taken(host: Host) -> None:
    host.anchor._files.error = OSError(28, "no space left")  # type: ignore[attr-defined]  # a fake
    with pytest.raises(OSError, match="no space"):
        await host.duties.do(CarryOut(orders_pb2.Order(order_id=A, control_version=4)))
    assert host.orders._waiting.empty()


async def test_withdrawal_is_durable_and_answered(host: Host) -> None:
    assert await host.duties.do(Withdraw(A)) is None
    (outcome,) = host.ledger.unaccepted()
    assert outcome.WhichOneof("result") == "withdrawn"
    await host.duties.do(ForgetOutcome(A))
    assert host.ledger.unaccepted() == ()


async def test_deny_list_is_answered_once_it_is_obeyed(host: Host) -> None:
    answer = await host.duties.do(StoreDenyList(host.office.deny_list(2, "x")))
    assert answer is not None
    assert answer.deny_list_stored.version == 2
    assert host.denials.version == 2


async def test_refused_deny_list_is_not_answered(host: Host) -> None:
    assert await host.duties.do(StoreDenyList(b"noise")) is None


async def test_stored_deny_list_is_shown_as_it_was_signed(host: Host) -> None:
    assert await host.duties.do(ShowDenyList()) is None
    signed = host.office.deny_list(2, "x")
    await host.duties.do(StoreDenyList(signed))
    answer = await host.duties.do(ShowDenyList())
    assert answer is not None
    assert answer.deny_list.SerializeToString(deterministic=True) == signed


async def test_grant_is_passed_on(host: Host) -> None:
    assert await host.duties.do(PresentGrant("p", b"signed")) is None
    assert host.grants == [("p", b"signed")]


async def test_refused_grant_does_not_end_the_session(host: Host) -> None:
    host.grant_error = GrantRefusedError("grant-invalid", "It is not.", "Look.")
    assert await host.duties.do(PresentGrant("p", b"signed")) is None


async def test_vault_that_wants_its_hosts_to_dial_again_is_left(host: Host) -> None:
    with pytest.raises(StreamClosedError, match="dial again"):
        await host.duties.do(Leave())


async def test_nothing_asks_for_nothing(host: Host) -> None:
    assert await host.duties.do(None) is None
