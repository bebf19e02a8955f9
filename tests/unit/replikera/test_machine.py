"""Machine descriptions as canonical JSON."""

import json

import pytest

from replikera.machine import (
    Disk,
    MachineDescription,
    MachineDescriptionError,
    NetworkAdapter,
    parse_machine_description,
)

MACHINE = MachineDescription(
    "m-1", "söl01", 2, 4, 1 << 32, "uefi",
    (Disk("d-1", "os.vhdx", 1 << 30, 512, "scsi", 0, 0),),
    (NetworkAdapter("n-1", "eth0", "00:15:5d:00:00:01", "production"),),
)  # fmt: skip


def test_a_description_reads_back() -> None:
    assert parse_machine_description(MACHINE.to_json()) == MACHINE


def test_equal_machines_have_equal_bytes() -> None:
    again = parse_machine_description(json.dumps(json.loads(MACHINE.to_json()), indent=3).encode())
    assert again.to_json() == MACHINE.to_json()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        MACHINE.to_json().replace(b'"processors":4', b'"processors":"4"'),
        MACHINE.to_json().replace(b'"name":"eth0"', b'"name":"eth0","extra":1'),
        b" " * (64 * 1024 + 1),
        b"\xff" * 10,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MachineDescriptionError):
        parse_machine_description(data)
