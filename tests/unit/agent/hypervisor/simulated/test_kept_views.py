from pathlib import Path

import pytest

from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.live_disks import Write
from tests.support.simulated_host import Bed, live_disk, read_disk, write_live


def names(bed: Bed) -> set[str]:
    return {path.name for path in (bed.host.root / "kept-views" / "web").iterdir()}


@pytest.mark.parametrize("how", ["keep", "discard"])
def test_the_last_views_are_kept_however_they_ended(bed: Bed, how: str) -> None:
    machine = bed.machine()
    views = bed.views(machine, keep_views=2)
    ended = []
    for _ in range(4):
        view = views.freeze("p")
        getattr(views, how)(view)
        ended.append(view)
    assert names(bed) == {view.view_id for view in ended[-2:]}
    assert views.all() == []


def test_a_kept_view_is_the_disks_as_they_were(bed: Bed) -> None:
    machine = bed.machine()
    views = bed.views(machine, keep_views=1)
    view = views.freeze("p")
    before = read_disk(live_disk(machine))
    views.keep(view)
    write_live(machine, Write(0, 0, b"later" + bytes(507)))
    folder = bed.host.root / "kept-views" / "web" / view.view_id
    assert (folder / "view.json").is_file()
    disk_id = view.description.disks[0].disk_id
    assert read_disk(folder / f"{disk_id}.vhdx") == before
    assert read_disk(live_disk(machine)) != before


def test_without_a_number_nothing_is_kept(bed: Bed, tmp_path: Path) -> None:
    folder = tmp_path / "view"
    folder.mkdir()
    kept = KeptViews(bed.files, bed.host.root / "kept-views", 0)
    assert not kept.take_over("web", "v", folder)
    assert folder.is_dir()
    assert not (bed.host.root / "kept-views").exists()
