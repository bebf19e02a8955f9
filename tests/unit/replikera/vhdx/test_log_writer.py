"""The log as it is written: entries that the specification's text agrees with, and never a moment without one."""

import random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx import VhdxError, layout
from replikera.vhdx.headers import Headers
from replikera.vhdx.log import Log, PageChange
from replikera.vhdx.log_writer import MAX_PAGES, LogWriter, replay_into
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_file import MIB
from tests.unit.replikera.vhdx.memory_file import MemoryFile

TABLE = 3 * MIB
PAGE = 4096


def opened() -> tuple[MemoryFile, Headers, LogWriter]:
    file = MemoryFile(foreign_file.build())
    headers = Headers.read(file)
    return file, headers, LogWriter(file, headers, SeededRandomness(1))


def test_an_entry_is_what_the_specification_says() -> None:
    file, headers, writer = opened()
    data = bytes(range(256)) * 16
    writer.commit([(TABLE, data)], 4 * MIB)

    log_id = headers.current.log_id
    expected = foreign_log.Entry(
        2, [foreign_log.Page(TABLE, data)], flushed=4 * MIB, last=4 * MIB, log_id=log_id
    ).encode(PAGE)
    assert file.content[MIB + PAGE : MIB + PAGE + len(expected)] == expected
    assert file.content[TABLE : TABLE + PAGE] == data


def test_a_closed_log_is_empty_and_an_unused_one_costs_nothing() -> None:
    file, headers, writer = opened()
    writer.close()
    assert file.sync_count == 0

    writer.commit([(TABLE, bytes(PAGE))], 4 * MIB)
    assert writer.is_open
    writer.close()
    assert headers.current.log_id == layout.NIL
    assert Headers.read(file).current.log_id == layout.NIL


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, MAX_PAGES), min_size=1, max_size=12),
    seed=st.integers(0, 1 << 32),
)
def test_whatever_a_crash_keeps_of_an_entry_the_log_holds_a_whole_one(
    counts: list[int], seed: int
) -> None:
    file, _, writer = opened()
    committed: list[int] = []
    chance = random.Random(seed)

    def crash() -> None:
        survivor = bytearray(file.durable)
        for operation in file.pending:
            for part in operation.sectors():
                if chance.random() < 0.7:
                    part.apply(survivor)
        found = MemoryFile(survivor)
        header = Headers.read(found).current
        if header.log_id == layout.NIL:
            assert not committed
            return
        pages = list(Log(found, header).changes())
        expected = {len(committed), len(committed) - 1}
        assert {change.data[0] for change in pages if isinstance(change, PageChange)} <= expected

    file.before_sync = crash
    for number, count in enumerate(counts):
        pages = [(TABLE + at * PAGE, bytes([number]) * PAGE) for at in range(count)]
        writer.commit(pages, 4 * MIB)
        committed.append(count)
        file.sync()


def test_a_log_that_is_refused_leaves_the_file_as_it_was() -> None:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers)
    pages = [foreign_log.Page(TABLE, b"\7" * PAGE), foreign_log.Page(64 << 10, b"\7" * PAGE)]
    data[MIB : 2 * MIB] = foreign_log.write_log([foreign_log.Entry(5, pages, last=6 * MIB)])
    file = MemoryFile(data)
    with pytest.raises(VhdxError):
        replay_into(file, Headers.read(file), SeededRandomness(1))
    assert file.content == data


def test_a_replay_gives_the_file_a_new_write_id_and_keeps_that_of_its_data() -> None:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers)
    page = foreign_log.Page(TABLE, b"\7" * PAGE)
    data[MIB : 2 * MIB] = foreign_log.write_log([foreign_log.Entry(5, [page], last=6 * MIB)])
    file = MemoryFile(data)
    before = Headers.read(file).current
    replay_into(file, Headers.read(file), SeededRandomness(1))
    after = Headers.read(MemoryFile(file.durable)).current
    assert after.file_write_id != before.file_write_id
    assert after.data_write_id == before.data_write_id


def test_a_log_is_replayed_into_the_file_once() -> None:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers)
    page = foreign_log.Page(TABLE, b"\7" * PAGE)
    zeros = foreign_log.Zeros(2 * MIB + 2 * PAGE, PAGE)
    data[MIB : 2 * MIB] = foreign_log.write_log([foreign_log.Entry(5, [page, zeros], last=6 * MIB)])
    file = MemoryFile(data)
    replay_into(file, Headers.read(file), SeededRandomness(1))

    assert len(file.durable) == 6 * MIB
    assert file.durable[TABLE : TABLE + PAGE] == b"\7" * PAGE
    assert Headers.read(file).current.log_id == layout.NIL


def test_a_file_without_room_for_a_log_is_not_written() -> None:
    headers = (foreign_file.header(1, log=(0, 0)), foreign_file.header(2, log=(0, 0)))
    file = MemoryFile(foreign_file.build(headers=headers))
    writer = LogWriter(file, Headers.read(file), SeededRandomness(1))

    with pytest.raises(VhdxError, match="it has no log"):
        writer.commit([(TABLE, bytes(PAGE))], 4 * MIB)


def test_more_pages_than_fit_twice_are_a_mistake() -> None:
    _, _, writer = opened()
    with pytest.raises(AssertionError):
        writer.commit([(TABLE + at * PAGE, bytes(PAGE)) for at in range(MAX_PAGES + 1)], 4 * MIB)


def test_every_opening_has_a_log_of_its_own() -> None:
    seen: set[UUID] = set()
    file, headers, _ = opened()
    for seed in range(3):
        writer = LogWriter(file, headers, SeededRandomness(seed))
        writer.commit([(TABLE, bytes(PAGE))], 4 * MIB)
        seen.add(headers.current.log_id)
        writer.close()

    assert len(seen) == 3
