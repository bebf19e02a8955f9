"""The report of a run: what was done, what was compared, and whether all of it was well."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from replikera.durable import write_durably
from replikera.lab.evidence import DiskEvidence, Outage
from replikera.lab.folder import LabFolder
from replikera.lab.narrator import Step
from replikera.ports.files import Files

VAULT_NAME = "lab"

_PARTS = {
    "recover disks": "materialise",
    "define machine": "define",
    "check isolation": "define",
    "start machine": "start",
    "guest answers": "check",
}
"""The parts of the time to recover, by the steps that a target tells."""


@dataclass(slots=True)
class Findings:
    """What a run found so far. `is_complete` once it came to its end, `problem` says why it did not.

    `digests` are disks of points that the target has read itself, `protections` what the vault said of the machines
    before the test failovers, `leftovers` what the target had afterwards otherwise than before.
    """

    started_at: datetime
    disks: list[DiskEvidence] = field(default_factory=list)
    digests: list[DiskEvidence] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    test_failovers: list[Mapping[str, object]] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    protections: list[Mapping[str, object]] = field(default_factory=list)
    problem: str = ""
    is_complete: bool = False


def is_success(findings: Findings, *, has_workload: bool) -> bool:
    """Tell whether every disk was equal, every guest well, no outage noticed, every test cleaned up, nothing left."""
    return (
        findings.is_complete
        and not findings.problem
        and not findings.leftovers
        and bool(findings.disks)
        and all(disk.is_equal for disk in (*findings.disks, *findings.digests))
        and all(outage.is_unnoticed for outage in findings.outages)
        and bool(findings.test_failovers)
        and all(_is_good(test, has_workload=has_workload) for test in findings.test_failovers)
    )


def document(
    findings: Findings, steps: tuple[Step, ...], *, has_workload: bool
) -> dict[str, object]:
    """Return the report as JSON values."""
    return {
        "vault": VAULT_NAME,
        "started_at": findings.started_at.isoformat(),
        "steps": [_step(step) for step in steps],
        "disks": [_disk(disk) for disk in findings.disks],
        "digests": [_disk(disk) for disk in findings.digests],
        "outages": [_outage(outage) for outage in findings.outages],
        "protections": [_protection(shown) for shown in findings.protections],
        "test_failovers": [
            {**test, "rto": recovery_time(test)} for test in findings.test_failovers
        ],
        "leftovers": findings.leftovers,
        "problem": findings.problem or None,
        "succeeded": is_success(findings, has_workload=has_workload),
    }


def write_report(files: Files, folder: LabFolder, report: Mapping[str, object]) -> None:
    """Put the report into the lab's folder."""
    write_durably(files, folder.report, json.dumps(report, indent=2).encode() + b"\n", mode=0o644)


def _is_good(test: Mapping[str, object], *, has_workload: bool) -> bool:
    guest = test.get("guest")
    if test.get("is_successful") is not True or not isinstance(guest, dict):
        return False
    records = guest.get("records")
    has_records = isinstance(records, int) and records > 0
    return guest.get("is_healthy") is True and (has_records or not has_workload)


def _step(step: Step) -> dict[str, object]:
    command = {"command": step.command} if step.command else {}
    return {"name": step.name, **command, "seconds": step.seconds}


def _protection(shown: Mapping[str, object]) -> dict[str, object]:
    return {
        "machine": shown.get("name"),
        "lag_seconds": shown.get("lag_seconds"),
        "rpo_target_seconds": shown.get("rpo_target_seconds"),
    }


def recovery_time(test: Mapping[str, object]) -> dict[str, float]:
    """Return the measured seconds of a start by what they went to."""
    steps = test.get("steps")
    spent = dict.fromkeys((*_PARTS.values(), "total"), 0.0)
    for step in steps if isinstance(steps, list) else []:
        part, seconds = _PARTS.get(step["name"]), float(step["seconds"])
        spent["total"] += seconds
        if part is not None:
            spent[part] += seconds
    return {name: round(seconds, 3) for name, seconds in spent.items()}


def _outage(outage: Outage) -> dict[str, object]:
    return {
        "killed_at": outage.killed_at.isoformat(),
        "restarted_at": outage.restarted_at.isoformat(),
        "points": list(outage.points),
        "unnoticed": outage.is_unnoticed,
    }


def _disk(disk: DiskEvidence) -> dict[str, object]:
    return {
        **asdict(disk),
        "readers": list(disk.readers),
        "problem": disk.problem or None,
        "equal": disk.is_equal,
    }
