from uuid import UUID

import pytest

from agent.hypervisor.simulated.layout import BLOCK
from agent.hypervisor.simulated.records import Forward, Record, Superblock, digest_of

WORKLOAD = UUID(int=7)
RECORD = Record(WORKLOAD, 3, 4096, b"d" * 32, b"p" * 32)


def changed(block: bytes, at: int) -> bytes:
    return block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]


@pytest.mark.parametrize("is_closing", [True, False])
def test_a_record_says_whether_it_closes_the_log(*, is_closing: bool) -> None:
    record = Record(WORKLOAD, 3, 4096, b"d" * 32, b"p" * 32, is_closing)
    assert Record.decode(record.encode()) == record


def test_every_block_notices_a_change() -> None:
    for block, decode in (
        (RECORD.encode(), Record.decode),
        (Superblock(WORKLOAD, 2, 1, 50).encode(), Superblock.decode),
        (Forward(8 << 20).encode(), Forward.decode),
    ):
        assert len(block) == BLOCK
        assert decode(block) is not None
        for at in (0, 9, 30, 2000, BLOCK - 1):
            assert decode(changed(block, at)) is None


def test_a_block_is_not_taken_for_one_of_another_kind() -> None:
    superblock, forward = Superblock(WORKLOAD, 2, 1, 50).encode(), Forward(8 << 20).encode()
    assert Superblock.is_one(superblock)
    assert not Forward.is_one(superblock)
    assert Forward.is_one(changed(forward, 2000))
    assert not Superblock.is_one(forward)
    assert Record.decode(superblock) is None


def test_the_digest_is_that_of_the_block() -> None:
    other = Record(WORKLOAD, 4, 4096, b"d" * 32, digest_of(RECORD.encode()))
    assert digest_of(other.encode()) != digest_of(RECORD.encode())
