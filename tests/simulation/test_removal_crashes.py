"""A replica that is being removed is whole, or gone with its disks kept, whenever the power fails."""

import random
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.lineage import Lineage, open_lineage
from agent.replica.removal import finish_removal, kept_disks
from replikera.ports.files import Files
from tests.simulation.mutation import Mutation
from tests.support.crash_files import CrashFiles
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import PROTECTION

EXPORTS = Path("/exports")

pytestmark = pytest.mark.simulation


class BrokenPromiseError(BaseException):
    """A crash left neither the replica nor its disks; past every handler of the code under test."""


class Removal:
    """Removes one replica and looks at the crash states ahead of every change."""

    def __init__(self, *, applied: int, mutation: Mutation | None = None) -> None:
        self.states = 0
        self._chooser = random.Random(1)
        self._bench = LineageBench()
        files = self._bench.files
        files.make_directory(EXPORTS)
        files.sync_directory(Path("/"))
        self._bench.deliver_many(3)
        self._bench.apply(applied)
        self._wrapped: Files = mutation.wrap(files) if mutation else files

    def run(self) -> None:
        folder = self._bench.layout.folder
        lineage = open_lineage(self._wrapped, folder, RawImages())
        assert lineage is not None
        self._bench.files.before = self._before
        for _ in lineage.remove(EXPORTS):
            pass
        self._bench.files.before = None
        self._check(self._bench.files.crash(self._chooser), is_decided=True)

    def _before(self, _operation: str, _path: Path) -> None:
        states = list(self._bench.files.crash_states(self._chooser, samples=12))
        for state in self._chooser.sample(states, min(12, len(states))):
            self._check(state, is_decided=False)

    def _check(self, state: CrashFiles, *, is_decided: bool) -> None:
        self.states += 1
        try:
            if finish_removal(state, self._bench.layout) or is_decided:
                self._check_kept(state)
            else:
                self._check_whole(state)
        except (AssertionError, OSError, ReplicaError, ValueError) as error:
            raise BrokenPromiseError(str(error)) from error

    def _check_kept(self, state: CrashFiles) -> None:
        assert state.status(self._bench.layout.folder) is None, "something is left"
        found = [
            state.read_bytes(path, limit=1 << 20) for path in kept_disks(state, EXPORTS, PROTECTION)
        ]
        assert tuple(found) == self._bench.contents[3], "the kept disks are not those of the point"

    def _check_whole(self, state: CrashFiles) -> None:
        if state.status(self._bench.layout.accepted) is None:
            # The end of a removal: the folder is empty, and the decision with it.
            self._check_kept_or_empty(state)
            return
        lineage = open_lineage(state, self._bench.layout.folder, RawImages())
        assert lineage is not None
        for sequence in (1, 3):
            assert _content(lineage, sequence) == self._bench.contents[sequence]

    def _check_kept_or_empty(self, state: CrashFiles) -> None:
        assert state.list_directory(self._bench.layout.folder) == [], "half of a replica is left"
        state.remove_tree(self._bench.layout.folder)
        self._check_kept(state)


def _content(lineage: Lineage, sequence: int) -> tuple[bytes, ...]:
    disks = []
    with lineage.open_view(sequence) as view:
        for disk, geometry in enumerate(view.disks):
            content = bytearray(geometry.size)
            view.read_into(disk, memoryview(content), 0)
            disks.append(bytes(content))
    return tuple(disks)


@pytest.mark.parametrize("applied", [0, 2])
def test_a_replica_is_whole_or_gone_with_its_disks_kept(applied: int) -> None:
    removal = Removal(applied=applied)
    removal.run()
    assert removal.states > 100


def _inside_exports(path: Path) -> bool:
    return path.is_relative_to(EXPORTS) and path != EXPORTS


MUTATIONS = (
    Mutation("kept disks are durable before the decision", skips_file=_inside_exports),
    Mutation("their names are durable before the decision", skips_directory=_inside_exports),
    Mutation(
        "the decision is durable before anything goes",
        skips_directory=lambda path: path.name == PROTECTION,
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        for applied in (0, 2):
            Removal(applied=applied, mutation=mutation).run()
