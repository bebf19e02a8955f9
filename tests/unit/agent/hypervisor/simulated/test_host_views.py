import shutil

import pytest

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.host_views import HostViews
from agent.hypervisor.simulated.kept_views import KeptViews
from replikera.system.files import SystemFiles
from tests.support.simulated_host import Bed


def host_views(bed: Bed) -> HostViews:
    kept = KeptViews(SystemFiles(), bed.host.root / "kept-views", 0)
    return HostViews(bed.host, bed.clock, bed.effects, kept)


def test_views_of_all_machines_are_found_oldest_first(bed: Bed) -> None:
    web, db = bed.machine("web"), bed.machine("db")
    views = host_views(bed)
    taken = [views.of(machine).freeze(tag) for machine, tag in ((web, "a"), (db, "b"), (web, "b"))]
    assert views.all() == tuple(taken)
    assert views.of_tag("b") == tuple(taken[1:])
    assert views.of_tag("c") == ()


def test_marks_of_all_machines_are_found(bed: Bed) -> None:
    views = host_views(bed)
    marks = []
    for name in ("db", "web"):
        view = views.of(bed.machine(name)).freeze(name)
        marks.append(views.holding(view).keep(view))
    assert views.marks() == tuple(marks)
    assert [views.mark(name) for name in ("db", "web", "other")] == [*marks, None]
    views.drop_mark(marks[0])
    assert views.marks() == (marks[1],)


def test_what_belonged_to_a_machine_that_is_gone_is_gone_too(bed: Bed) -> None:
    machine = bed.machine()
    views = host_views(bed)
    mark = views.of(machine).keep(views.of(machine).freeze("a"))
    view = views.of(machine).freeze("a")
    shutil.rmtree(machine.path)
    views.discard(view)
    views.drop_mark(mark)
    assert (views.all(), views.marks()) == ((), ())
    with pytest.raises(HypervisorError) as caught:
        views.holding(view)
    assert caught.value.code == "unknown-machine"
