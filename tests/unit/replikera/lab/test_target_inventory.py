from pathlib import Path

from replikera.lab.folder import claim_folder
from replikera.lab.line import Line
from replikera.lab.target_inventory import differences, target_inventory
from tests.support.lab import make_bench


async def test_only_what_the_target_has_is_looked_at(tmp_path: Path) -> None:
    bench = make_bench()
    machines = [{"name": "web01", "host": "primary-host"}, {"name": "x", "host": "secondary-host"}]
    networks = [{"name": "lan", "host": "primary-host"}, {"name": "t", "host": "secondary-host"}]
    bench.programs.answer("replikera vm list -o json", {"items": machines})
    bench.programs.answer("replikera network list -o json", {"items": networks})
    line = Line(bench.machine, claim_folder(bench.machine.files, tmp_path), bench.narrator)
    (tmp_path / "secondary/hypervisor/machines/x").mkdir(parents=True)
    assert await target_inventory(bench.machine, line) == {
        "machine x of secondary-host",
        "network t of secondary-host",
        f"{tmp_path}/secondary/hypervisor/machines/x",
    }


def test_what_was_left_and_what_was_taken_are_both_named() -> None:
    before, after = frozenset({"a", "b"}), frozenset({"b", "c"})
    assert differences(before, after) == ["left: c", "gone: a"]
    assert differences(before, before) == []
