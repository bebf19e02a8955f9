from pathlib import Path

import pytest

from agent.control.anchor import ControlAnchor, VaultNotObeyedError
from agent.control.backlog import Backlog
from agent.control.conversation import (
    ANSWER_SECONDS,
    HEARTBEAT_SECONDS,
    MAX_REPLIES,
    CarryOut,
    Conversation,
    Deed,
    ForgetOutcome,
    Leave,
    Obey,
    PresentGrant,
    ShowDenyList,
    StoreDenyList,
    Withdraw,
)
from replikera.wire.v1 import orders_pb2, session_pb2, trust_pb2
from tests.unit.agent.fakes import FusedFiles, InlineWorker, sealed_point

Response = session_pb2.SessionResponse
HELLO = session_pb2.Hello(run_id="r")
ORDER = orders_pb2.Order(order_id="o")
OURS = b"o" * 32
SIGNED = trust_pb2.Signed(content=b"c", signature=b"s")


def welcome(
    host_id: str = "h", version: int = 3, digest: bytes = OURS, *, is_reconciling: bool = False
) -> Response:
    return Response(
        welcome=session_pb2.Welcome(
            host_id=host_id,
            control_version=version,
            control_digest=digest,
            is_reconciling=is_reconciling,
        )
    )


def conversation(backlog: Backlog | None = None) -> Conversation:
    anchor = ControlAnchor(FusedFiles(), InlineWorker(), Path("/nowhere"))
    anchor.number, anchor.digest = 3, OURS
    return Conversation("h", HELLO, anchor, backlog or Backlog())


def welcomed(backlog: Backlog | None = None) -> Conversation:
    opened = conversation(backlog)
    opened.receive(welcome(), 0)
    return opened


def kinds(opened: Conversation, now: float) -> list[str | None]:
    return [message.WhichOneof("message") for message in opened.due(now)]


def test_hello_is_the_first_message() -> None:
    assert conversation().hello().hello == HELLO


def test_nothing_is_sent_before_the_welcome() -> None:
    backlog = Backlog()
    backlog.add_outcome(orders_pb2.OrderOutcome(order_id="o"))
    opened = conversation(backlog)
    assert opened.due(1000) == []
    opened.receive(welcome(), 1000)
    assert kinds(opened, 1000) == ["outcome", "heartbeat"]


def test_newer_vault_is_obeyed() -> None:
    assert conversation().receive(welcome(version=7), 0) == Obey(7, OURS)


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (welcome(host_id="other"), "takes this host for other"),
        (welcome(version=2), "control version 2, this host obeyed 3.*restore a newer one"),
        (welcome(digest=b"x" * 32), "another history at control version 3"),
        (Response(order=ORDER), "did not begin with Welcome"),
        (Response(), "did not begin with Welcome"),
    ],
)
def test_vault_that_is_not_ours_is_not_obeyed(first: Response, problem: str) -> None:
    with pytest.raises(VaultNotObeyedError, match=problem):
        conversation().receive(first, 0)


def test_second_welcome_is_refused() -> None:
    with pytest.raises(VaultNotObeyedError, match="twice"):
        welcomed().receive(welcome(), 1)


def test_messages_become_deeds() -> None:
    opened = welcomed()
    accepted = Response(outcome_accepted=session_pb2.OutcomeAccepted(order_id="o"))
    assert opened.receive(Response(order=ORDER), 1) == CarryOut(ORDER)
    assert opened.receive(accepted, 1) == ForgetOutcome("o")
    assert opened.receive(Response(drain=session_pb2.Drain()), 1) == Leave()


WITHDRAWAL = Response(withdraw=session_pb2.WithdrawOrder(order_id="o"))
GRANT = Response(grant=session_pb2.GrantUpdate(protection_id="p", grant=b"g"))
DENIALS = Response(deny_list=SIGNED)
QUESTION = Response(send_deny_list=session_pb2.SendDenyList())


@pytest.mark.parametrize(
    ("message", "deed"),
    [
        (WITHDRAWAL, Withdraw("o")),
        (GRANT, PresentGrant("p", b"g")),
        (DENIALS, StoreDenyList(SIGNED.SerializeToString(deterministic=True))),
        (QUESTION, ShowDenyList()),
    ],
)
def test_messages_about_trust_become_deeds(message: Response, deed: Deed) -> None:
    assert welcomed().receive(message, 1) == deed


def test_reconciling_vault_is_welcome_however_old_it_is() -> None:
    opened = conversation()
    first = welcome(version=1, digest=b"x" * 32, is_reconciling=True)
    assert opened.receive(first, 0) is None
    assert opened.is_reconciling
    assert kinds(opened, 0) == ["heartbeat"]


@pytest.mark.parametrize("message", [Response(order=ORDER), WITHDRAWAL, GRANT])
def test_reconciling_vault_decides_nothing(message: Response) -> None:
    opened = conversation()
    opened.receive(welcome(is_reconciling=True), 0)
    assert opened.receive(message, 1) is None


@pytest.mark.parametrize("message", [DENIALS, QUESTION, Response(drain=session_pb2.Drain())])
def test_reconciling_vault_may_ask_and_deny(message: Response) -> None:
    opened = conversation()
    opened.receive(welcome(is_reconciling=True), 0)
    assert opened.receive(message, 1) is not None


def test_replies_are_sent_before_everything_else() -> None:
    opened = welcomed()
    stored = session_pb2.DenyListStored(version=1)
    opened.reply(session_pb2.SessionRequest(deny_list_stored=stored))
    assert kinds(opened, 0) == ["deny_list_stored", "heartbeat"]
    assert kinds(opened, 1) == []


def test_vault_that_asks_and_does_not_read_is_left() -> None:
    opened = welcomed()
    for _ in range(MAX_REPLIES):
        opened.reply(session_pb2.SessionRequest())
    with pytest.raises(VaultNotObeyedError, match="does not read"):
        opened.reply(session_pb2.SessionRequest())


def test_message_of_a_newer_vault_asks_for_nothing() -> None:
    assert welcomed().receive(Response(), 1) is None


def test_answered_page_makes_room_for_the_next() -> None:
    backlog = Backlog()
    for name in "pq":
        backlog.points.watch(name, "g", lambda: [sealed_point(1, "g")], lambda: 0)
    opened = welcomed(backlog)
    (page,) = [m.points for m in opened.due(0) if m.HasField("points")]
    assert kinds(opened, 1) == []
    answer = session_pb2.RecoveryPointsAccepted(number=page.number)
    assert opened.receive(Response(points_accepted=answer), 1) is None
    assert kinds(opened, 1) == ["points"]


def test_heartbeats_are_numbered_and_paced() -> None:
    opened = welcomed()
    numbers = []
    for now in (0, 1, HEARTBEAT_SECONDS, 2 * HEARTBEAT_SECONDS - 0.1, 2 * HEARTBEAT_SECONDS):
        numbers += [m.heartbeat.number for m in opened.due(now)]
        opened.receive(Response(heartbeat=session_pb2.HeartbeatAnswer()), now)
    assert numbers == [1, 2, 3]


def test_silent_vault_counts_as_gone() -> None:
    opened = welcomed()
    opened.due(ANSWER_SECONDS - 0.1)
    with pytest.raises(VaultNotObeyedError, match="not answered for 15 seconds"):
        opened.due(ANSWER_SECONDS)


def test_vault_that_answers_is_not_gone() -> None:
    opened = welcomed()
    opened.receive(Response(heartbeat=session_pb2.HeartbeatAnswer(number=1)), 10)
    opened.due(ANSWER_SECONDS + 9)
    with pytest.raises(VaultNotObeyedError):
        opened.due(ANSWER_SECONDS + 10)
