"""The report is green only when everything is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replikera.lab.evidence import DiskEvidence, Outage, Point
from replikera.lab.folder import claim_folder
from replikera.lab.narrator import Step
from replikera.lab.report import Findings, document, is_success, write_report
from replikera.system.files import SystemFiles
from tests.support.lab import START

DISK = DiskEvidence("web01", "d1", Point("g", 3), "aa", "aa", ("witness", "qemu-img"), "")


def good() -> Findings:
    test = {"is_successful": True, "guest": {"is_healthy": True, "records": 12}}
    outage = Outage(START, START, (6, 5, 4))
    return Findings(START, [DISK], [DISK], [outage], test_failovers=[test], is_complete=True)


def guest(findings: Findings, **values: object) -> None:
    findings.test_failovers = [{"is_successful": True, "guest": values}]


def test_all_well_is_success() -> None:
    assert is_success(good(), has_workload=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: setattr(found, "is_complete", False),
        lambda found: setattr(found, "problem", "the agent died"),
        lambda found: found.leftovers.append("machine web01 - test"),
        lambda found: found.disks.clear(),
        lambda found: found.disks.append(replace(DISK, recovered_sha256="bb")),
        lambda found: found.disks.append(replace(DISK, problem="they disagree")),
        lambda found: found.digests.append(replace(DISK, recovered_sha256="bb")),
        lambda found: found.outages.append(Outage(START, START, (4, 5))),
        lambda found: found.test_failovers.clear(),
        lambda found: setattr(
            found, "test_failovers", [{**found.test_failovers[0], "guest": None}]
        ),
        lambda found: found.test_failovers.append(
            {**found.test_failovers[0], "is_successful": None}
        ),
        lambda found: guest(found, is_healthy=False, records=12),
        lambda found: guest(found, is_healthy=True, records=0),
    ],
)
def test_anything_wrong_is_no_success(spoil: Callable[[Findings], object]) -> None:
    findings = good()
    spoil(findings)
    assert not is_success(findings, has_workload=True)


def test_a_quiet_guest_has_no_records() -> None:
    findings = good()
    guest(findings, is_healthy=True, records=0)
    assert is_success(findings, has_workload=False)


def test_the_report_is_a_file_for_programs(tmp_path: Path) -> None:
    steps = (Step("Protect", "replikera protection enable web01", 1.5), Step("waiting", "", 0.5))
    report = document(good(), steps, has_workload=True)
    folder = claim_folder(SystemFiles(), tmp_path)
    write_report(SystemFiles(), folder, report)
    read = json.loads(folder.report.read_text())
    assert read == report
    assert read["succeeded"] is True
    assert read["steps"] == [
        {"name": "Protect", "command": "replikera protection enable web01", "seconds": 1.5},
        {"name": "waiting", "seconds": 0.5},
    ]
    assert read["outages"] == [
        {
            "killed_at": START.isoformat(),
            "restarted_at": START.isoformat(),
            "points": [6, 5, 4],
            "unnoticed": True,
        }
    ]
    assert read["disks"] == read["digests"]
    assert read["disks"] == [
        {
            "machine": "web01",
            "disk": "d1",
            "point": {"generation": "g", "sequence": 3},
            "source_sha256": "aa",
            "recovered_sha256": "aa",
            "readers": ["witness", "qemu-img"],
            "problem": None,
            "equal": True,
        }
    ]


def test_the_time_to_recover_is_split_by_what_it_went_to() -> None:
    findings = good()
    steps = [
        {"name": "recover disks", "seconds": 0.5},
        {"name": "define machine", "seconds": 0.25},
        {"name": "check isolation", "seconds": 0.25},
        {"name": "start machine", "seconds": 2.0},
        {"name": "guest answers", "seconds": 1.0},
        {"name": "something else", "seconds": 4.0},
    ]
    findings.test_failovers = [{**findings.test_failovers[0], "steps": steps}]
    findings.protections = [{"name": "web01", "lag_seconds": 1.5, "rpo_target_seconds": 6, "x": 1}]
    report = document(findings, (), has_workload=True)
    test: Any = report["test_failovers"]
    assert test[0]["rto"] == {
        "materialise": 0.5,
        "define": 0.5,
        "start": 2.0,
        "check": 1.0,
        "total": 8.0,
    }
    assert report["protections"] == [
        {"machine": "web01", "lag_seconds": 1.5, "rpo_target_seconds": 6}
    ]
