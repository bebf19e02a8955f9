"""The line is walked by the commands that a user would type."""

from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.folder import claim_folder
from replikera.lab.line import Line, items
from replikera.ports.processes import Completed
from tests.support.lab import LabBench, make_bench


def make_line(bench: LabBench, tmp_path: Path) -> Line:
    return Line(bench.machine, claim_folder(bench.machine.files, tmp_path), bench.narrator)


async def test_the_vault_is_made_and_waited_for(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    await line.make_vault()
    settings = f"--settings {line.folder.coordinator_settings}"
    profile = f"--profile {line.folder.profile}"
    assert bench.programs.ran == [
        f"replikera-coordinator init {settings} --name lab --operator lab-operator {profile}",
        f"replikera-coordinator run {settings}",
        "replikera site create primary",
        "replikera site create secondary",
    ]
    assert f"$ export REPLIKERA_PROFILE={line.folder.profile}" in bench.text.getvalue()


async def test_a_daemon_that_never_gets_ready_is_not_waited_for_forever(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    bench.programs.said = b'{"event": "coordinator thinks"}'
    with pytest.raises(LabError, match="readiness of coordinator did not come"):
        await line.make_vault()


async def test_a_host_joins_with_a_line_that_is_handed_over_in_a_file(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    site = line.folder.secondary
    bench.programs.answers["replikera host invite"] = Completed(0, b"rk1/x\n", b"")
    bench.programs.answer("replikera network list", {"items": [{"host": "secondary-host"}]})
    await line.join(site)
    assert bench.programs.ran == [
        "replikera host invite --site secondary",
        f"replikera-agent join --settings {site.settings} --file {site.join_line}",
        f"replikera-agent run --settings {site.settings}",
        "replikera network list -o json",
    ]
    assert line.daemons.is_alive("secondary-agent")
    assert site.join_line.read_bytes() == b"rk1/x\n"


async def test_nothing_that_runs_at_the_secondary_site_is_told_of_the_primary(
    tmp_path: Path,
) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    bench.programs.answer("replikera network list", {"items": [{"host": "secondary-host"}]})
    await line.make_host(line.folder.secondary, ("production", "test:isolated"))
    await line.join(line.folder.secondary)
    told = [command for command in bench.programs.ran if command.startswith("replikera-agent")]
    assert len(told) == 3
    assert not [command for command in told if str(line.folder.primary.root) in command]


@pytest.mark.parametrize(("has_workload", "option"), [(True, " --workload"), (False, "")])
async def test_the_machine_has_every_disk(
    tmp_path: Path, *, has_workload: bool, option: str
) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    await line.make_machine((Path("/a.vhdx"), Path("/b.vhdx")), has_workload=has_workload)
    root = f"--root {line.folder.primary.hypervisor}"
    assert bench.programs.ran == [
        f"replikera-agent simulate create-machine {root} --name web01 --disk /a.vhdx "
        "--disk /b.vhdx --network production",
        f"replikera-agent simulate start {root} --machine web01{option}",
    ]


async def test_protection_follows_a_policy_of_two_seconds(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    await line.map_networks()
    await line.make_policy()
    await line.protect()
    assert bench.programs.ran == [
        "replikera network-mapping create --primary primary-host/production "
        "--secondary secondary-host/production --test-network test",
        "replikera policy create every-2s --copy-frequency 2s --retention 24h",
        "replikera protection enable web01 --target-host secondary-host --policy every-2s --wait",
    ]


async def test_points_are_waited_for_until_there_are_enough(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    counts = [1, 2, 3]
    bench.programs.answers["replikera point list"] = lambda: Completed(
        0, b'{"items": [' + b",".join([b"{}"] * counts.pop(0)) + b"]}", b""
    )
    assert len(await line.wait_for_points(3)) == 3
    assert counts == []


async def test_everything_is_ended_even_where_one_guest_cannot_be(tmp_path: Path) -> None:
    bench = make_bench()
    line = make_line(bench, tmp_path)
    for site, name in ((line.folder.primary, "web01"), (line.folder.secondary, "web01-test")):
        (site.hypervisor / "machines" / name).mkdir(parents=True)
    line.daemons.start("coordinator", ("replikera-coordinator", "run"))
    stuck = f"replikera-agent simulate stop --root {line.folder.primary.hypervisor}"
    bench.programs.answers[stuck] = Completed(1, b"", b"")
    with pytest.raises(LabError, match="simulate stop"):
        await line.end()
    assert bench.programs.alive == set()
    assert bench.programs.ran[-1].endswith("--machine web01-test")


def test_an_answer_without_items_is_refused() -> None:
    with pytest.raises(LabError, match="without items"):
        items({"jobs": []})
