import asyncio

from agent.replica.pass_reception import RECEIPT_BYTES as RECEIPT_OF_PASS_BYTES
from agent.replica.segment_reception import RECEIPT_BYTES
from agent.source.window import WINDOW_BYTES, Window

MIB = 1 << 20


def whole() -> int:
    return WINDOW_BYTES


async def is_admitted(window: Window, count: int) -> bool:
    admitting = asyncio.ensure_future(window.admit(count))
    await asyncio.sleep(0)
    if not admitting.done():
        admitting.cancel()
        return False
    return True


async def test_a_full_window_waits_for_receipts() -> None:
    window = Window(whole)
    await window.admit(60 * MIB)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(window.admit(14 * MIB))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert window.receive(5 * MIB)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert window.receive(10 * MIB)
    assert waiting.done()


async def test_it_is_never_more_than_the_part_of_now() -> None:
    parts = [32 * MIB]
    window = Window(lambda: parts[0])
    await window.admit(20 * MIB)
    assert await is_admitted(window, 12 * MIB)
    assert not await is_admitted(window, 1)
    parts[0] = 10 * MIB
    assert window.receive(21 * MIB)
    assert not await is_admitted(window, 1)
    parts[0] = 1000 * MIB
    assert await is_admitted(window, WINDOW_BYTES - 11 * MIB)
    assert not await is_admitted(window, 1)


async def test_one_piece_larger_than_the_window_passes_alone() -> None:
    window = Window(whole)
    await window.admit(500 * MIB)
    assert window.receive(500 * MIB)


async def test_no_receipt_is_waited_for_that_is_not_due() -> None:
    window = Window(lambda: 0)
    await window.admit(max(RECEIPT_BYTES, RECEIPT_OF_PASS_BYTES) - 1)
    assert await is_admitted(window, 500 * MIB)
    assert not await is_admitted(window, 1)


async def test_receipts_that_cannot_be_true_are_noticed() -> None:
    window = Window(whole)
    await window.admit(60)
    assert not window.receive(61)
    assert window.receive(60)
    assert not window.receive(59)


def test_a_transfer_that_is_resumed_counts_on() -> None:
    window = Window(whole, begun_at=1000)
    assert not window.receive(999)
    assert window.receive(1000)
    assert not window.receive(1001)
