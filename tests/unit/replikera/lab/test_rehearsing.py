"""A test failover is compared at the instant of its point, and its clean-up believed only after a look."""

from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.evidence import Point
from replikera.lab.folder import claim_folder
from replikera.lab.line import Line
from replikera.lab.rehearsing import Rehearsing, point_of, recovered_disks
from replikera.lab.report import Findings
from replikera.lab.source_views import SourceViews
from replikera.ports.processes import Completed
from tests.support.lab import START, LabBench, make_bench
from tests.support.scripted_vault import DISK_ID, GENERATION, ScriptedVault, write_disk


def set_up(tmp_path: Path) -> tuple[LabBench, ScriptedVault, Rehearsing, Findings]:
    bench = make_bench()
    bench.programs.answers["qemu-img"] = FileNotFoundError()
    line = Line(bench.machine, claim_folder(bench.machine.files, tmp_path), bench.narrator)
    vault = ScriptedVault(tmp_path, bench.programs, bench.clock)
    vault.install()
    bench.programs.respond(("replikera-agent", "simulate", "create-machine"))
    views = SourceViews(bench.machine, line)
    rehearsing = Rehearsing(bench.machine, line, views, bench.narrator)
    return bench, vault, rehearsing, Findings(START)


async def test_the_disk_is_compared_with_the_view_of_its_own_point(tmp_path: Path) -> None:
    _, vault, rehearsing, findings = set_up(tmp_path)
    view = tmp_path / "primary/hypervisor/kept-views/web01/view-2" / f"{DISK_ID}.vhdx"
    view.unlink()
    write_disk(view, b"2")
    vault.recovered = b"2"
    await rehearsing.rehearse("2", findings)
    assert [disk.is_equal for disk in findings.disks] == [True]
    assert findings.disks[0].point == Point(GENERATION, 2)
    assert findings.leftovers == []
    assert findings.test_failovers[0]["is_successful"] is True


async def test_a_wrong_recovered_disk_is_found(tmp_path: Path) -> None:
    bench, vault, rehearsing, findings = set_up(tmp_path)
    vault.recovered = b"y"
    await rehearsing.rehearse("latest", findings)
    assert [disk.is_equal for disk in findings.disks] == [False]
    assert "DIFFERENT" in bench.text.getvalue()


async def test_what_the_clean_up_left_is_named(tmp_path: Path) -> None:
    _, vault, rehearsing, findings = set_up(tmp_path)
    vault.leaves_machine = True
    there = tmp_path / "secondary/hypervisor/machines/mine"
    there.mkdir(parents=True)
    await rehearsing.rehearse("latest", findings)
    assert findings.leftovers == [
        f"left: {tmp_path}/secondary/hypervisor/storage/rehearsals/5",
        "left: machine web01 - test of secondary-host",
    ]


async def test_a_view_that_never_ends_is_not_waited_for_forever(tmp_path: Path) -> None:
    _, vault, rehearsing, findings = set_up(tmp_path)
    (tmp_path / "primary/hypervisor/kept-views/web01/view-5/view.json").unlink()
    instant = vault.captures[5].isoformat()
    with pytest.raises(LabError, match=f"view of {instant}".replace("+", r"\+")):
        await rehearsing.rehearse("latest", findings)


async def test_a_point_that_is_not_listed_is_an_error(tmp_path: Path) -> None:
    bench, _, rehearsing, findings = set_up(tmp_path)
    bench.programs.answers["replikera point list web01 -o json"] = Completed(
        0, b'{"items": []}', b""
    )
    with pytest.raises(LabError, match="point 5 was recovered and is not listed"):
        await rehearsing.rehearse("latest", findings)


async def test_a_test_failover_without_disks_proves_nothing(tmp_path: Path) -> None:
    bench, _, rehearsing, findings = set_up(tmp_path)
    bench.programs.answer(
        "replikera test-failover show web01 -o json",
        {"point": {"generation": GENERATION, "sequence": 5}, "disks": []},
    )
    with pytest.raises(LabError, match="no disk"):
        await rehearsing.rehearse("latest", findings)


@pytest.mark.parametrize("point", [None, {"sequence": 3}, {"generation": 1, "sequence": 3}])
def test_a_point_that_is_none_is_refused(point: object) -> None:
    with pytest.raises(LabError, match="the vault answered"):
        point_of({"point": point})


@pytest.mark.parametrize("disks", [None, [{"disk_id": "d1"}], [3]])
def test_disks_that_are_none_are_refused(disks: object) -> None:
    with pytest.raises(LabError, match="the vault answered"):
        recovered_disks({"disks": disks})
