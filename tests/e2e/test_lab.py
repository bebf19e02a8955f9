"""The lab, by its command: three daemons and a guest as processes, two sites, every byte compared."""

import hashlib
import json
import os
import signal
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from replikera.lab.witness import digest
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_image
from tests.e2e.walkthrough import documented, narrated
from tests.support.samples import unpack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

REPLIKERA = str(Path(sysconfig.get_path("scripts")) / "replikera")
SAMPLES = os.environ.get("REPLIKERA_SAMPLES", "")
MIB = 1 << 20
WALKTHROUGH = Path(__file__).parents[2] / "docs" / "walkthrough.md"


def run_lab(folder: Path, *options: str, spy: Path | None = None) -> tuple[int, Any]:
    """Run a lab; its report must stand alone on standard output and equal the file.

    `spy` is a folder whose `sitecustomize` every process of the lab imports first.
    """
    command = [REPLIKERA, "lab", "run", "--dir", str(folder), "-o", "json", *options]
    environment = {**os.environ, **({"PYTHONPATH": str(spy)} if spy is not None else {})}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=environment)
    report = json.loads(done.stdout)
    assert report == json.loads((folder / "report.json").read_text())
    return done.returncode, report


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of living processes that name the folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def make_disk(path: Path) -> None:
    """Write a disk with data at its start, across a block boundary, and in its last sector."""
    with SystemFiles().create(path) as file:
        image = create_image(file, size=48 * MIB, randomness=SystemRandomness())
        image.write(b"first..." * 1024, 0)
        image.write(hashlib.shake_128(b"noise").digest(3 * MIB), 3 * MIB)
        image.write(b"L" * 512, 48 * MIB - 512)
        image.close()


@dataclass(frozen=True, slots=True)
class LoadedLab:
    """A whole run with a guest that writes: its folder, its report, and all it said."""

    folder: Path
    code: int
    report: Any
    narration: str


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedLab:
    """Run the lab as its user does, in a terminal as wide as that of the walkthrough."""
    folder = tmp_path_factory.mktemp("loaded") / "lab"
    done = subprocess.run(
        [REPLIKERA, "lab", "run", "--dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "150"},
        text=True,
        check=False,
    )
    report = json.loads((folder / "report.json").read_text())
    return LoadedLab(folder, done.returncode, report, done.stdout)


def test_the_walkthrough_shows_what_the_programs_say(loaded: LoadedLab) -> None:
    said = narrated(loaded.narration, str(loaded.folder))
    shown = documented(WALKTHROUGH.read_text())
    assert len(shown) > 15
    for one in shown:
        answers = [other.lines for other in said if other.command == one.command]
        assert answers, f"the lab does not run: {one.command}"
        assert one.lines in answers, f"{one.command}: {one.lines ^ answers[0]}"


def test_points_of_a_machine_under_load_are_recovered_byte_by_byte(loaded: LoadedLab) -> None:
    folder, report = loaded.folder, loaded.report
    assert (loaded.code, report["succeeded"], report["problem"]) == (0, True, None)
    points = [disk["point"]["sequence"] for disk in report["disks"]]
    assert len(set(points)) == 2
    assert report["disks"][0]["source_sha256"] != report["disks"][1]["source_sha256"]
    for disk in report["disks"]:
        assert disk["equal"]
        assert disk["source_sha256"] == disk["recovered_sha256"]
    for test in report["test_failovers"]:
        assert test["guest"]["records"] > 0
        assert [nic["network"] for nic in test["nics"]] == ["test"]
    assert report["leftovers"] == []
    (outage,) = report["outages"]
    assert outage["unnoticed"]
    (digested,) = report["digests"]
    assert digested["point"]["sequence"] in outage["points"]
    assert digested["source_sha256"] == digested["recovered_sha256"]
    assert processes_of(folder) == []


def test_a_quiet_machine_is_recovered_as_its_disk_was_given(tmp_path: Path) -> None:
    disk = tmp_path / "mine.vhdx"
    make_disk(disk)
    before = disk.read_bytes(), disk.stat().st_mtime_ns
    code, report = run_lab(tmp_path / "lab", "--no-workload", "--disk", str(disk))
    assert code == 0
    (found,) = report["disks"]
    expected = digest(SystemFiles(), disk)
    assert (found["source_sha256"], found["recovered_sha256"]) == (expected, expected)
    assert (disk.read_bytes(), disk.stat().st_mtime_ns) == before


SPY = """
import sys
if "replikera-agent" in sys.argv[0] and "secondary" in " ".join(sys.argv) and "run" in sys.argv:
    seen = open({log!r}, "a", buffering=1)
    def look(event, found):
        if event in ("open", "os.link", "os.rename", "os.listdir", "os.truncate"):
            seen.write(event + " " + " ".join(str(item) for item in found[:2]) + chr(10))
    sys.addaudithook(look)
"""

BUG = """
import sys
if "replikera-agent" in sys.argv[0] and "primary" in " ".join(sys.argv):
    from replikera.vhdx.image import Image
    right = Image.read
    def wrong(self, length, offset):
        data = bytearray(right(self, length, offset))
        place = 4 * 1024 * 1024 + 100
        if offset <= place < offset + len(data):
            data[place - offset] ^= 1
        return bytes(data)
    Image.read = wrong
"""
"""At the source alone: what it sends agrees with all that it compares, and only somebody else can tell."""


def test_the_target_opens_nothing_of_the_source_site(tmp_path: Path) -> None:
    disk, spy, log = tmp_path / "mine.vhdx", tmp_path / "spy", tmp_path / "opened.txt"
    make_disk(disk)
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(SPY.format(log=str(log)))
    folder = tmp_path / "lab"
    code, report = run_lab(folder, "--no-workload", "--disk", str(disk), spy=spy)
    assert (code, report["succeeded"]) == (0, True)
    opened = log.read_text().splitlines()
    assert any(str(folder / "secondary" / "agent") in line for line in opened)
    assert [line for line in opened if str(folder / "primary") in line or str(disk) in line] == []


def test_a_bug_of_our_reader_turns_the_lab_red(tmp_path: Path) -> None:
    disk, spy = tmp_path / "mine.vhdx", tmp_path / "spy"
    make_disk(disk)
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(BUG)
    code, report = run_lab(tmp_path / "lab", "--no-workload", "--disk", str(disk), spy=spy)
    assert (code, report["succeeded"]) == (1, False)
    (found,) = report["disks"]
    assert not found["equal"]
    assert found["source_sha256"] == digest(SystemFiles(), disk)
    assert found["recovered_sha256"] != found["source_sha256"]


def test_several_machines_with_several_disks_are_recovered(tmp_path: Path) -> None:
    disks = [tmp_path / "system.vhdx", tmp_path / "data.vhdx"]
    for disk in disks:
        make_disk(disk)
    options = [part for disk in disks for part in ("--disk", str(disk))]
    code, report = run_lab(tmp_path / "lab", "--no-workload", "--vms", "2", *options)
    assert code == 0
    assert [disk["equal"] for disk in report["disks"]] == [True] * 4
    assert [disk["machine"] for disk in report["disks"]] == ["web01", "web01", "web02", "web02"]
    assert [shown["machine"] for shown in report["protections"]] == ["web01", "web02"]
    for test in report["test_failovers"]:
        parts = test["rto"]
        assert parts["total"] == pytest.approx(sum(parts.values()) - parts["total"], abs=0.01)


def test_a_kept_lab_answers_until_it_is_taken_down(tmp_path: Path) -> None:
    disk, folder = tmp_path / "mine.vhdx", tmp_path / "lab"
    make_disk(disk)
    code, _ = run_lab(folder, "--no-workload", "--keep", "--disk", str(disk))
    assert code == 0
    environment = {**os.environ, "REPLIKERA_PROFILE": str(folder / "profile")}
    command = [REPLIKERA, "status", "-o", "json"]
    status = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    assert [host["state"] for host in json.loads(status.stdout)["hosts"]] == ["connected"] * 2
    subprocess.run([REPLIKERA, "lab", "down", "--dir", str(folder)], check=True)
    assert processes_of(folder) == []


def test_a_disk_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    disk, folder = tmp_path / "mine.vhdx", tmp_path / "lab"
    disk.write_bytes(b"not a disk" * 1000)
    code, report = run_lab(folder, "--no-workload", "--disk", str(disk))
    assert (code, report["succeeded"]) == (1, False)
    assert "create-machine" in report["problem"]
    assert processes_of(folder) == []


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    disk, folder = tmp_path / "mine.vhdx", tmp_path / "lab"
    make_disk(disk)
    command = [REPLIKERA, "lab", "run", "--dir", str(folder), "--disk", str(disk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        while "$ replikera protection enable" not in lab.stdout.readline():
            assert lab.poll() is None
        assert len(processes_of(folder)) >= 4  # three daemons and a guest, at least
        lab.send_signal(signal.SIGINT)
        lab.stdout.read()
        assert lab.wait() == 130
    assert processes_of(folder) == []
    report = json.loads((folder / "report.json").read_text())
    assert (report["succeeded"], report["problem"]) == (False, "interrupted")


@pytest.mark.skipif(not SAMPLES, reason="REPLIKERA_SAMPLES names no folder of sample disks")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "fat-differential.vhdx.gz",
            "a538161f34bc44c12bf9a542ce9218741c62728723ea18d0e4f6ea92e9f32e93",
        ),
        ("fat-parent.vhdx.gz", "2d1954fec68faefe81dd3687282a9b387bf8417f6d2cf0da3825fa1445b64cfb"),
        (
            "iotest-dynamic-1G.vhdx.bz2",
            "d3d112d8dab7fd360609f7d5a7b769904b7a2a7d7b6b8c535f65a23293c05478",
        ),
        ("swap.vhdx.gz", "60dd30b4c74361427d1089510cabb36e2eeda0cc4747f467ea43173acd358c49"),
    ],
)
def test_real_disks_are_recovered_with_their_known_digests(
    tmp_path: Path, name: str, expected: str
) -> None:
    disk = unpack(Path(SAMPLES) / name, tmp_path)
    if "differential" in name:
        unpack(Path(SAMPLES) / "fat-parent.vhdx.gz", tmp_path)
    code, report = run_lab(tmp_path / "lab", "--no-workload", "--disk", str(disk))
    (found,) = report["disks"]
    assert (code, found["source_sha256"], found["recovered_sha256"]) == (0, expected, expected)
