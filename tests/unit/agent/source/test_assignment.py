from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.source.assignment import (
    MAX_RATE,
    MAX_WINDOWS,
    Assignment,
    Compression,
    ThrottleWindow,
    check_assignment,
    check_identifier,
)
from agent.source.errors import AssignmentError
from replikera.blocks.segment import MAX_DISKS

WINDOW = ThrottleWindow(127, 0, 1440, 1 << 20)
ASSIGNMENT = Assignment(
    "11111111-1111-4111-8111-111111111111",
    1,
    "22222222-2222-4222-8222-222222222222",
    "machine-1",
    "target",
    "host:1",
    timedelta(seconds=30),
)
SETTINGS: dict[str, Any] = {
    "target_address": "other:1",
    "copy_frequency": timedelta(minutes=5),
    "compression": Compression.ZSTD,
    "throttle": (WINDOW,),
    "application_consistent_interval": timedelta(hours=1),
    "excluded_disk_ids": ("disk-b",),
    "is_paused": True,
}


def test_an_ordinary_order_is_taken() -> None:
    check_assignment(ASSIGNMENT)
    check_assignment(replace(ASSIGNMENT, **SETTINGS))


@pytest.mark.parametrize(
    "change",
    [
        {"protection_id": "../../etc"},
        {"generation": "1"},
        {"epoch": -1},
        {"machine_id": ""},
        {"copy_frequency": timedelta(0)},
        {"compression": "best"},
        {"throttle": (WINDOW,) * (MAX_WINDOWS + 1)},
        {"throttle": (replace(WINDOW, weekdays=128),)},
        {"throttle": (replace(WINDOW, start_minute=1440),)},
        {"throttle": (replace(WINDOW, end_minute=1441),)},
        {"throttle": (replace(WINDOW, bytes_per_second=MAX_RATE + 1),)},
        {"throttle": (replace(WINDOW, bytes_per_second=-1),)},
        {"application_consistent_interval": timedelta(seconds=-1)},
        {"excluded_disk_ids": ("",)},
        {"excluded_disk_ids": ("d",) * (MAX_DISKS + 1)},
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_an_order_that_no_vault_gives_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssignmentError) as raised:
        check_assignment(replace(ASSIGNMENT, **change))
    assert raised.value.failure.code == "bad-order"


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_do_not_make_another_replication(setting: str) -> None:
    assert ASSIGNMENT.is_same_replication(replace(ASSIGNMENT, **{setting: SETTINGS[setting]}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protection_id", "33333333-1111-4111-8111-111111111111"),
        ("epoch", 2),
        ("generation", "33333333-2222-4222-8222-222222222222"),
        ("machine_id", "machine-2"),
        ("target_host_id", "other"),
    ],
)
def test_another_machine_or_target_or_epoch_is_another_replication(field: str, value: Any) -> None:
    assert not ASSIGNMENT.is_same_replication(replace(ASSIGNMENT, **{field: value}))


@pytest.mark.parametrize("identifier", ["", "../x", "1", "G" * 36, "x" * 10_000])
def test_an_identifier_that_could_be_a_path_is_refused(identifier: str) -> None:
    with pytest.raises(AssignmentError, match="to stop"):
        check_identifier(identifier, "to stop")
