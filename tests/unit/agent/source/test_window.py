import asyncio

from agent.source.window import Window


async def test_a_full_window_waits_for_receipts() -> None:
    window = Window(100)
    await window.admit(60)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(window.admit(50))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert window.receive(5)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert window.receive(10)
    assert waiting.done()


async def test_one_piece_larger_than_the_window_passes_alone() -> None:
    window = Window(100)
    await window.admit(500)
    assert window.receive(500)


async def test_receipts_that_cannot_be_true_are_noticed() -> None:
    window = Window(100)
    await window.admit(60)
    assert not window.receive(61)
    assert window.receive(60)
    assert not window.receive(59)


def test_a_transfer_that_is_resumed_counts_on() -> None:
    window = Window(100, begun_at=1000)
    assert not window.receive(999)
    assert window.receive(1000)
    assert not window.receive(1001)
