from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Table, select
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as make_dialect

from coordinator.domain.identifiers import MachineId
from coordinator.domain.jobs import JobState, Task, TaskState
from coordinator.domain.orders import (
    Done,
    GuestReport,
    Measurement,
    NicConnection,
    RecoveredDisk,
    RehearsalStarted,
)
from coordinator.store import schema
from coordinator.store.columns import Instant, Json, Span, TaggedJson, Word
from coordinator.store.schema import ACTIONS, OUTCOMES
from replikera.machine import MachineDescription
from tests.unit.coordinator.examples import DESCRIPTION

DIALECT = make_dialect()


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_an_instant_comes_back_exactly_and_in_utc(moment: datetime) -> None:
    kept = Instant().process_bind_param(moment, DIALECT)
    back = Instant().process_result_value(kept, DIALECT)
    assert back == moment
    assert back is not None
    assert back.tzinfo is UTC


@given(st.timedeltas())
def test_a_span_comes_back_exactly(span: timedelta) -> None:
    kept = Span().process_bind_param(span, DIALECT)
    assert Span().process_result_value(kept, DIALECT) == span


def test_a_word_is_kept_as_operators_see_it() -> None:
    column = Word(JobState)
    assert column.process_bind_param(JobState.RUNNING, DIALECT) == "running"
    assert column.process_result_value("failed", DIALECT) is JobState.FAILED


def test_values_come_back_from_json_equal() -> None:
    tasks = (Task("a"), Task("b", TaskState.FAILED, 'a "quoted" cause\n'))
    column = Json(tuple[Task, ...])
    assert column.process_result_value(column.process_bind_param(tasks, DIALECT), DIALECT) == tasks
    machines = Json(MachineDescription)
    kept = machines.process_bind_param(DESCRIPTION, DIALECT)
    assert machines.process_result_value(kept, DIALECT) == DESCRIPTION


def test_one_of_several_kinds_comes_back_as_its_own() -> None:
    column: TaggedJson[object] = TaggedJson(OUTCOMES)
    started = RehearsalStarted(
        MachineId("m"),
        (RecoveredDisk("d", "/r", 1),),
        (Measurement("boot", 0.25),),
        GuestReport(is_healthy=True, summary="ok", records=3),
        (NicConnection("n", ""),),
    )
    for outcome in (started, Done()):
        kept = column.process_bind_param(outcome, DIALECT)
        assert column.process_result_value(kept, DIALECT) == outcome


def test_nothing_stays_nothing() -> None:
    columns: tuple[Any, ...] = (
        Instant(),
        Span(),
        Word(JobState),
        Json(Task),
        TaggedJson(OUTCOMES),
    )
    for column in columns:
        assert column.process_bind_param(None, DIALECT) is None
        assert column.process_result_value(None, DIALECT) is None


@pytest.mark.parametrize("table", schema.metadata.tables.values(), ids=str)
def test_statements_are_compiled_once(table: Table) -> None:
    first, second = (select(table)._generate_cache_key() for _ in range(2))
    assert first is not None
    assert first == second


def test_statements_of_other_kinds_are_other_statements() -> None:
    keys = [TaggedJson(kinds)._static_cache_key for kinds in (ACTIONS, OUTCOMES)]
    assert keys[0] != keys[1]
