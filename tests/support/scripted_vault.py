"""Answers of a vault in which one machine was recovered, for the lab's own tests."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from replikera.lab.witness import digest
from replikera.ports.processes import Completed
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_image
from tests.support.lab import START, InstantClock, ScriptedPrograms

GENERATION = "7d1c2a52-0000-4000-8000-000000000001"
DISK_ID = "d1"


@dataclass
class ScriptedVault:
    """Points 1 to `points`, one test failover at a time; `recovered` is what its disk holds at 1 MiB."""

    root: Path
    programs: ScriptedPrograms
    clock: InstantClock
    points: int = 5
    recovered: bytes = b"x"
    records: int = 7
    leaves_machine: bool = False
    point: int = 0
    rehearsed: list[int] = field(default_factory=list)
    is_clean: bool = True
    digested: bytes = b"x"
    outage_points: int = 4
    starts: int = 0
    asked: int = 0
    unobserved: int = 0
    uncompared: int = 0
    captures: dict[int, datetime] = field(default_factory=dict)

    def install(self) -> None:
        """Script every command of the line."""
        hosts = [{"host": "primary-host"}, {"host": "secondary-host"}]
        self.programs.answer("replikera network list", {"items": hosts})
        answers = self.programs.answers
        answers["replikera-agent simulate create-machine"] = self._create_machine
        answers["replikera point list web01 -o json"] = self._points
        for point in ("latest", *map(str, range(1, self.points + 1))):
            answers[f"replikera test-failover start web01 --point {point} --wait"] = partial(
                self._start, point
            )
        answers["replikera test-failover show web01 -o json"] = self._show
        answers["replikera test-failover cleanup"] = self._clean_up
        answers["replikera vm list -o json"] = self._machines
        answers["replikera protection list -o json"] = self._protections
        answers["replikera-coordinator run"] = self._run
        answers["replikera point digest web01"] = self._digest

    def _create_machine(self) -> Completed:
        (self._hypervisor / "machines" / "web01").mkdir(parents=True)
        for number in range(1, self.points + 1):
            self._keep_view(number, START - timedelta(microseconds=100 - number))
        return Completed(0, b"", b"")

    def _protections(self) -> Completed:
        """Show the protection, not observed the first `unobserved` times, nor compared the first `uncompared`."""
        self.asked += 1
        shown = {
            "name": "web01",
            "lag_seconds": 1.5,
            "rpo_target_seconds": 6.0,
            "health": "healthy" if self.asked > self.unobserved else "unknown",
            "compared_at": START.isoformat() if self.asked > self.uncompared else None,
        }
        return Completed(0, json.dumps({"items": [shown]}).encode(), b"")

    def _keep_view(self, number: int, taken_at: datetime) -> None:
        self.captures[number] = taken_at
        folder = self._hypervisor / "kept-views" / "web01" / f"view-{number}"
        folder.mkdir(parents=True)
        (folder / "view.json").write_text(json.dumps({"taken_at": taken_at.isoformat()}))
        write_disk(folder / f"{DISK_ID}.vhdx", b"x")

    def _run(self) -> Completed:
        """Start the coordinator; the second time after an outage, which it knows only the points of."""
        self.starts += 1
        if self.starts == 2:
            ends = self.clock.now()
            for number in range(self.outage_points):
                self._keep_view(self.points + 1, ends - timedelta(seconds=2 * number + 1))
                self.points += 1
            self.points += 1
            self._keep_view(self.points, ends + timedelta(seconds=1))
        return Completed(0, b"", b"")

    def _points(self) -> Completed:
        points = [
            {
                "generation": GENERATION,
                "sequence": number,
                "capture_ended_at": self.captures[number].isoformat().replace("+00:00", "Z"),
            }
            for number in range(self.points, 0, -1)
        ]
        return _json({"items": points})

    def _digest(self) -> Completed:
        write_disk(self.root / "digested.vhdx", self.digested)
        sha256 = digest(SystemFiles(), self.root / "digested.vhdx")
        return _json({"result": {"disks": [{"disk_id": DISK_ID, "sha256": sha256}]}})

    def _start(self, point: str) -> Completed:
        self.point = self.points if point == "latest" else int(point)
        self.rehearsed.append(self.point)
        self.is_clean = False
        path = self._recovered_path()
        path.parent.mkdir(parents=True)
        write_disk(path, self.recovered)
        return Completed(0, b"started\n", b"")

    def _show(self) -> Completed:
        disk = {"disk_id": DISK_ID, "path": str(self._recovered_path()), "size": 4 << 20}
        return _json(
            {
                "point": {"generation": GENERATION, "sequence": self.point},
                "disks": [disk],
                "guest": {"is_healthy": True, "records": self.records},
                "is_successful": True if self.is_clean else None,
            }
        )

    def _clean_up(self) -> Completed:
        self._recovered_path().unlink()
        if not self.leaves_machine:
            self._recovered_path().parent.rmdir()
        self.is_clean = True
        return Completed(0, b"", b"")

    def _machines(self) -> Completed:
        is_left = self.leaves_machine and self.point
        left = [{"name": "web01 - test", "host": "secondary-host"}] if is_left else []
        return _json({"items": [{"name": "web01", "host": "primary-host"}, *left]})

    def _recovered_path(self) -> Path:
        return self.root / "secondary/hypervisor/storage/rehearsals" / str(self.point) / "a.vhdx"

    @property
    def _hypervisor(self) -> Path:
        return self.root / "primary" / "hypervisor"


def write_disk(path: Path, content: bytes) -> None:
    """Write a small disk with `content` at 1 MiB."""
    with SystemFiles().create(path) as file:
        image = create_image(file, size=4 << 20, randomness=SystemRandomness())
        image.write(content * 512, 1 << 20)
        image.close()


def _json(document: object) -> Completed:
    return Completed(0, json.dumps(document).encode(), b"")
