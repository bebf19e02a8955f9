"""A run ends with a report and without processes, whatever happens on its way."""

import asyncio
import json
from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.run import Options, end_lab, run_lab
from replikera.ports.processes import Completed
from tests.support.lab import LabBench, make_bench
from tests.support.scripted_vault import ScriptedVault, write_disk


def set_up(tmp_path: Path) -> tuple[LabBench, ScriptedVault]:
    bench = make_bench()
    bench.programs.answers["qemu-img"] = FileNotFoundError()
    vault = ScriptedVault(tmp_path / "lab", bench.programs, bench.clock)
    vault.install()
    return bench, vault


async def run(bench: LabBench, options: Options) -> dict[str, object]:
    report = await run_lab(bench.machine, bench.narrator, options)
    assert json.loads((options.folder / "report.json").read_text()) == report
    return report


async def test_the_latest_and_an_older_point_are_recovered(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    report = await run(bench, Options(tmp_path / "lab"))
    assert report["succeeded"] is True
    assert vault.rehearsed == [10, 3]
    assert [outage["points"] for outage in report["outages"]] == [[9, 8, 7, 6]]  # type: ignore[attr-defined] # JSON
    assert [disk["equal"] for disk in report["digests"]] == [True]  # type: ignore[attr-defined] # JSON
    assert not (tmp_path / "lab/primary/hypervisor/kept-views").exists()
    assert bench.programs.alive == set()
    stop = f"replikera-agent simulate stop --root {tmp_path}/lab/primary/hypervisor --machine web01"
    assert bench.programs.ran[-1] == stop


async def test_without_a_workload_the_latest_point_is_enough(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    vault.records = 0
    options = Options(tmp_path / "lab", has_workload=False)
    assert (await run(bench, options))["succeeded"] is True
    assert vault.rehearsed == [5]


async def test_a_guest_without_records_fails_the_run(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    vault.records = 0
    assert (await run(bench, Options(tmp_path / "lab")))["succeeded"] is False


async def test_a_wrong_recovered_disk_fails_the_run(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    vault.recovered = b"y"
    report = await run(bench, Options(tmp_path / "lab"))
    assert report["succeeded"] is False
    assert (tmp_path / "lab/primary/hypervisor/kept-views/web01").is_dir()
    assert [disk["equal"] for disk in report["disks"]] == [False, False]  # type: ignore[attr-defined] # JSON


async def test_a_point_that_the_target_reads_differently_fails_the_run(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    vault.digested = b"y"
    assert (await run(bench, Options(tmp_path / "lab")))["succeeded"] is False


@pytest.mark.parametrize("points", [0, 1])
async def test_an_outage_that_replication_noticed_fails_the_run(
    tmp_path: Path, points: int
) -> None:
    bench, vault = set_up(tmp_path)
    vault.outage_points = points
    assert (await run(bench, Options(tmp_path / "lab")))["succeeded"] is False


async def test_what_is_left_fails_the_run(tmp_path: Path) -> None:
    bench, vault = set_up(tmp_path)
    vault.leaves_machine = True
    assert (await run(bench, Options(tmp_path / "lab")))["succeeded"] is False


async def test_a_command_that_fails_is_reported_and_everything_ended(tmp_path: Path) -> None:
    bench, _ = set_up(tmp_path)
    bench.programs.answers["replikera protection enable"] = Completed(5, b"", b"")
    report = await run(bench, Options(tmp_path / "lab"))
    assert report["succeeded"] is False
    assert "protection enable" in str(report["problem"])
    assert bench.programs.alive == set()


async def test_a_run_that_is_stopped_ends_everything_first(tmp_path: Path) -> None:
    bench, _ = set_up(tmp_path)
    bench.programs.answers["replikera protection enable"] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await run_lab(bench.machine, bench.narrator, Options(tmp_path / "lab"))
    assert bench.programs.alive == set()
    report = json.loads((tmp_path / "lab" / "report.json").read_text())
    assert (report["succeeded"], report["problem"]) == (False, "interrupted")


async def test_a_bug_is_no_success(tmp_path: Path) -> None:
    bench, _ = set_up(tmp_path)
    bench.programs.answers["replikera status"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await run_lab(bench.machine, bench.narrator, Options(tmp_path / "lab"))
    assert json.loads((tmp_path / "lab" / "report.json").read_text())["succeeded"] is False


async def test_a_kept_lab_goes_on_until_it_is_taken_down(tmp_path: Path) -> None:
    bench, _ = set_up(tmp_path)
    root = tmp_path / "lab"
    await run(bench, Options(root, stays=True))
    assert len(bench.programs.alive) == 3
    with pytest.raises(LabError, match="a lab runs in"):
        await run_lab(bench.machine, bench.narrator, Options(root))
    await end_lab(bench.machine, bench.narrator, root)
    assert bench.programs.alive == set()
    assert (root / "report.json").exists()


async def test_disks_given_are_protected_as_they_are(tmp_path: Path) -> None:
    bench, _ = set_up(tmp_path)
    write_disk(tmp_path / "mine.vhdx", b"x")
    await run(bench, Options(tmp_path / "lab", (tmp_path / "mine.vhdx",)))
    created = [line for line in bench.programs.ran if "create-machine" in line]
    assert f"--disk {tmp_path}/mine.vhdx --network" in created[0]


@pytest.mark.parametrize(
    ("names", "problem"),
    [(("none.vhdx",), "there is no disk"), (("a.vhdx", "x/a.vhdx"), "same file name")],
)
async def test_disks_that_cannot_be_taken_are_refused_before_anything_is_made(
    tmp_path: Path, names: tuple[str, ...], problem: str
) -> None:
    bench, _ = set_up(tmp_path)
    (tmp_path / "x").mkdir()
    for name in ("a.vhdx", "x/a.vhdx"):
        write_disk(tmp_path / name, b"x")
    disks = tuple(tmp_path / name for name in names)
    with pytest.raises(LabError, match=problem):
        await run_lab(bench.machine, bench.narrator, Options(tmp_path / "lab", disks))
    assert not (tmp_path / "lab").exists()
