"""Children of the base, whenever the power fails: whole once they were told, and never there without their pin."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from agent.replica.lineage import Lineage, open_lineage
from agent.replica.new_disks import Recovered
from agent.replica.pins import Pins
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Files
from replikera.vhdx import VhdxError, open_path
from tests.simulation.mutation import Mutation
from tests.support.crash_files import CrashFiles
from tests.support.lineages import OUT, LineageBench
from tests.support.seeded_randomness import SeededRandomness

MIB = 1 << 20
SIZES = (2 * MIB, 2 * MIB)
HOLDER = "order-1"
POINTS = 4

pytestmark = pytest.mark.simulation


class BrokenPromiseError(BaseException):
    """A crash left a child that shows something else; past every handler of the code under test."""


class Making:
    """Makes the children of one point and looks at the crash states ahead of every change, and at the end."""

    def __init__(self, *, applied: int, sequence: int, mutation: Mutation | None = None) -> None:
        self.states = 0
        self._sequence = sequence
        self._chooser = random.Random(1)
        self._format = VhdxImages(SeededRandomness(1))
        self._bench = LineageBench(sizes=SIZES, image_format=self._format)
        self._bench.deliver_many(POINTS)
        self._bench.apply(applied)
        files = self._bench.files
        self._wrapped: Files = mutation.wrap(files) if mutation else files

    def run(self) -> None:
        lineage = self._opened(self._wrapped)
        self._bench.files.before = self._before
        _make(lineage, self._sequence)
        self._bench.files.before = None
        for state in self._bench.files.crash_states(self._chooser, samples=32):
            self._check(state, is_told=True)

    def _before(self, _operation: str, _path: Path) -> None:
        states = list(self._bench.files.crash_states(self._chooser, samples=4, torn=1))
        for state in self._chooser.sample(states, min(4, len(states))):
            self._check(state, is_told=False)

    def _check(self, state: CrashFiles, *, is_told: bool) -> None:
        self.states += 1
        try:
            self._check_pin(state)
            if is_told:
                self._check_children(state)
            self._check_another_run(state)
        except (AssertionError, OSError, ReplicaError, VhdxError, ValueError) as error:
            raise BrokenPromiseError(repr(error)) from error

    def _check_pin(self, state: CrashFiles) -> None:
        if state.list_directory(OUT):
            assert Pins(state, self._bench.layout).hold_base, "a child without a pin"

    def _check_children(self, state: CrashFiles) -> None:
        for disk, content in zip(
            self._bench.disks, self._bench.contents[self._sequence], strict=True
        ):
            with open_path(state, OUT / disk.name) as image:
                assert image.read(image.size, 0) == content, f"{disk.name} shows something else"

    def _check_another_run(self, state: CrashFiles) -> None:
        """Do what an agent does that was killed: remove what was begun, and make it anew."""
        for name in state.list_directory(OUT):
            state.remove(OUT / name)
        _make(self._opened(state), self._sequence)
        self._check_children(state)

    def _opened(self, files: Files) -> Lineage:
        lineage = open_lineage(files, self._bench.layout.folder, self._format)
        assert lineage is not None
        return lineage


def _in_out(disk: DiskGeometry) -> Path:
    return OUT / disk.name


def _make(lineage: Lineage, sequence: int) -> None:
    lineage.pin(HOLDER, sequence)
    made: Recovered | None = None
    for step in lineage.make_children(HOLDER, _in_out):
        made = step
    assert made


@pytest.mark.parametrize(("applied", "sequence"), [(0, 3), (2, 1), (3, 4)])
def test_children_that_were_told_survive_and_others_are_made_anew(
    applied: int, sequence: int
) -> None:
    making = Making(applied=applied, sequence=sequence)
    making.run()
    assert making.states > 60


def _not_kept() -> AbstractContextManager[object]:
    return patch.object(Pins, "_write", _remembered)


def _remembered(self: Pins, pins: tuple[object, ...]) -> None:
    self._pins = pins  # type: ignore[assignment]  # that is the mutation


def _is_child(path: Path) -> bool:
    return path.is_relative_to(OUT) and path != OUT


def _is(folder: Path) -> Callable[[Path], bool]:
    return lambda path: path == folder


MUTATIONS = (
    Mutation("children are durable before they are told", skips_file=_is_child),
    Mutation("their names are durable before they are told", skips_directory=_is(OUT)),
    Mutation("a pin is durable before there is a child", patched=_not_kept),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    with mutation.patched(), pytest.raises(BrokenPromiseError):
        Making(applied=2, sequence=1, mutation=mutation).run()
