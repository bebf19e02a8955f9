from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.machine_saving import save_machine
from replikera.ports.files import Buffer
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed, KilledError, MortalFiles


class Unlogged(SystemFiles):
    """The process ends as it is about to write the line."""

    @override
    def append(self, path: Path, data: Buffer) -> None:
        raise KilledError


def test_a_change_is_saved_and_logged_for_its_tag(bed: Bed) -> None:
    folder = bed.machine()
    changed = replace(folder.read(), starts_with_host=True)
    save_machine(folder, changed, bed.effects, "auto-start-allowed", "p1")
    assert folder.read() == changed
    machine_id = changed.description.machine_id
    assert bed.logged() == [("auto-start-allowed", machine_id, "p1")]


def test_a_change_whose_line_was_cut_off_is_logged_later(bed: Bed) -> None:
    folder = bed.machine()
    changed = replace(folder.read(), starts_with_host=True)
    effects = Effects(Unlogged(), bed.clock, SystemRandomness(), bed.host.root)
    with pytest.raises(KilledError):
        save_machine(folder, changed, effects, "seen", "p1")
    assert (folder.read(), bed.logged()) == (changed, [])
    bed.effects.settle(bed.host.root)
    assert len(bed.logged()) == 1


def test_a_change_that_was_not_made_is_not_logged(bed: Bed) -> None:
    folder = bed.machine()
    described = folder.read()
    mortal = MachineFolder(MortalFiles(1), SystemRandomness(), folder.path)
    changed = replace(described, starts_with_host=True)
    with pytest.raises(KilledError):
        save_machine(mortal, changed, bed.effects, "seen", "p1")
    bed.effects.settle(bed.host.root)
    assert (folder.read(), bed.logged()) == (described, [])
