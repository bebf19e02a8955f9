import errno
from pathlib import Path

import pytest

from agent.control import ledger as ledger_module
from agent.control.ledger import LedgerError, OrderLedger
from replikera.wire.v1 import orders_pb2
from tests.unit.agent.fakes import AutoClock, Fuse, FusedFiles, InlineWorker, Killed

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"


async def opened(folder: Path, files: FusedFiles | None = None) -> OrderLedger:
    ledger = OrderLedger(files or FusedFiles(), InlineWorker(), AutoClock(), folder)
    await ledger.open()
    return ledger


def started(order_id: str) -> orders_pb2.OrderOutcome:
    return orders_pb2.OrderOutcome(
        order_id=order_id,
        rehearsal_started=orders_pb2.RehearsalStarted(
            machine_id="m", disks=[orders_pb2.RecoveredDisk(disk_id="d", path="/p", size=1 << 40)]
        ),
    )


def order_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


async def test_new_order_has_no_outcome(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    assert await ledger.begin(A) is None


async def test_repeated_order_is_answered_with_its_outcome(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    await ledger.begin(A)
    await ledger.finish(started(A))
    assert await ledger.begin(A) == started(A)


async def test_outcome_survives_a_restart_byte_for_byte(tmp_path: Path) -> None:
    first = await opened(tmp_path / "orders")
    await first.begin(A)
    await first.finish(started(A))
    second = await opened(tmp_path / "orders")
    assert await second.begin(A) == started(A)
    assert second.unaccepted() == (started(A),)


async def test_order_killed_before_its_outcome_runs_again(tmp_path: Path) -> None:
    first = await opened(tmp_path / "orders")
    await first.begin(A)
    second = await opened(tmp_path / "orders")
    assert await second.begin(A) is None
    assert second.unaccepted() == ()


async def test_kill_at_any_write_leaves_no_outcome_or_the_whole_one(tmp_path: Path) -> None:
    counting = FusedFiles()
    ledger = await opened(tmp_path / "counted", counting)
    await ledger.begin(A)
    before = counting.fuse.ticks
    await ledger.finish(started(A))
    writes = counting.fuse.ticks - before
    seen = set()
    for number in range(1, writes + 1):
        folder = tmp_path / str(number)
        files = FusedFiles()
        ledger = await opened(folder, files)
        await ledger.begin(A)
        files.fuse = Fuse(number)
        with pytest.raises(Killed):
            await ledger.finish(started(A))
        again = await opened(folder)
        outcome = await again.begin(A)
        assert outcome in (None, started(A))
        seen.add(outcome is None)
        await again.finish(started(A))
        assert (await opened(folder)).unaccepted() == (started(A),)
    assert writes >= 4
    assert seen == {True, False}


async def test_intent_that_cannot_be_written_is_not_taken_for_begun(tmp_path: Path) -> None:
    files = FusedFiles()
    ledger = await opened(tmp_path / "orders", files)
    files.error = OSError(errno.ENOSPC, "no space left")
    with pytest.raises(OSError, match="no space"):
        await ledger.begin(A)
    files.error = None
    assert (tmp_path / "orders").exists()
    assert list((tmp_path / "orders").glob("*.json")) == []
    assert await ledger.begin(A) is None
    assert [path.name for path in (tmp_path / "orders").glob("*.json")] == [f"{A}.json"]


async def test_accepted_outcome_is_not_sent_again_but_still_answers(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    await ledger.begin(A)
    await ledger.finish(started(A))
    await ledger.accept(A)
    again = await opened(tmp_path / "orders")
    assert again.unaccepted() == ()
    assert await again.begin(A) == started(A)


async def test_acceptance_of_open_or_unknown_orders_changes_nothing(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    await ledger.begin(A)
    await ledger.accept(A)
    await ledger.accept(B)
    await ledger.finish(started(A))
    assert ledger.unaccepted() == (started(A),)


async def test_second_acceptance_writes_nothing(tmp_path: Path) -> None:
    files = FusedFiles()
    ledger = await opened(tmp_path / "orders", files)
    await ledger.begin(A)
    await ledger.finish(started(A))
    await ledger.accept(A)
    written = files.fuse.ticks
    await ledger.accept(A)
    assert files.fuse.ticks == written


async def test_only_the_newest_accepted_outcomes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_ACCEPTED_OUTCOMES", 2)
    clock = AutoClock()
    ledger = OrderLedger(FusedFiles(), InlineWorker(), clock, tmp_path / "orders")
    await ledger.open()
    for number in range(4):
        clock.elapsed += 1
        await ledger.begin(order_id(number))
        await ledger.finish(started(order_id(number)))
    for number in (2, 0, 1):
        clock.elapsed += 1
        await ledger.accept(order_id(number))
    names = {path.stem for path in (tmp_path / "orders").iterdir()}
    assert names == {order_id(0), order_id(1), order_id(3)}
    assert ledger.unaccepted() == (started(order_id(3)),)


async def test_full_ledger_refuses_new_orders_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_OPEN_ORDERS", 1)
    ledger = await opened(tmp_path / "orders")
    await ledger.begin(A)
    with pytest.raises(LedgerError, match="1 orders in hand"):
        await ledger.begin(B)
    assert await ledger.begin(A) is None
    await ledger.finish(started(A))
    await ledger.accept(A)
    assert await ledger.begin(B) is None


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", A.upper(), f"{A}/x"])
async def test_order_id_that_is_no_uuid_is_refused(tmp_path: Path, bad: str) -> None:
    ledger = await opened(tmp_path / "orders")
    with pytest.raises(LedgerError, match="not a UUID"):
        await ledger.begin(bad)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{A}.json", "{"),
        (f"{A}.json", '{"version": 1}'),
        (
            f"{B}.json",
            f'{{"version": 1, "order_id": "{A}", "intent_at": "", "outcome": "", "accepted_at": ""}}',
        ),
        (
            f"{A}.json",
            f'{{"version": 2, "order_id": "{A}", "intent_at": "", "outcome": "", "accepted_at": ""}}',
        ),
        (
            f"{A}.json",
            f'{{"version": 1, "order_id": "{A}", "intent_at": "", "outcome": "x", "accepted_at": ""}}',
        ),
    ],
)
async def test_damaged_entry_is_named_with_its_remedy(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(LedgerError, match=rf"{name} is not an entry .*Move it away"):
        await opened(tmp_path)


async def test_half_written_temporary_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / f"{A}.json.new").write_text("{")
    ledger = await opened(tmp_path)
    assert await ledger.begin(A) is None


def withdrawn(order_id: str) -> orders_pb2.OrderOutcome:
    return orders_pb2.OrderOutcome(order_id=order_id, withdrawn=orders_pb2.Withdrawn())


async def test_order_withdrawn_before_it_began_never_begins(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    assert await ledger.withdraw(A) == withdrawn(A)
    assert await ledger.begin(A) == withdrawn(A)
    again = await opened(tmp_path / "orders")
    assert again.unaccepted() == (withdrawn(A),)
    assert await again.begin(A) == withdrawn(A)
    assert await again.withdraw(A) == withdrawn(A)


async def test_order_that_began_is_not_withdrawn(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    await ledger.begin(A)
    assert await ledger.withdraw(A) is None
    await ledger.finish(started(A))
    assert await ledger.withdraw(A) == started(A)


async def test_withdrawn_order_that_was_accepted_still_answers(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "orders")
    await ledger.withdraw(A)
    await ledger.accept(A)
    again = await opened(tmp_path / "orders")
    assert again.unaccepted() == ()
    assert await again.begin(A) == withdrawn(A)


async def test_kill_at_any_write_of_a_withdrawal_leaves_none_or_the_whole_one(
    tmp_path: Path,
) -> None:
    counting = FusedFiles()
    ledger = await opened(tmp_path / "counted", counting)
    before = counting.fuse.ticks
    await ledger.withdraw(A)
    seen = set()
    for number in range(1, counting.fuse.ticks - before + 1):
        folder = tmp_path / str(number)
        files = FusedFiles()
        ledger = await opened(folder, files)
        files.fuse = Fuse(number)
        with pytest.raises(Killed):
            await ledger.withdraw(A)
        again = await opened(folder)
        outcome = await again.begin(A)
        assert outcome in (None, withdrawn(A))
        seen.add(outcome is None)
    assert seen == {True, False}


async def test_withdrawals_are_bounded_like_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_OPEN_ORDERS", 1)
    ledger = await opened(tmp_path / "orders")
    await ledger.withdraw(A)
    with pytest.raises(LedgerError, match="1 orders in hand"):
        await ledger.withdraw(B)
    with pytest.raises(LedgerError, match="not a UUID"):
        await ledger.withdraw("../x")
