from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hello import MAX_HELD, HeldProtection, HeldRehearsal, HostHello
from coordinator.domain.hosts import AgentRun, HostFacts
from coordinator.domain.identifiers import (
    MAX_NAME_LENGTH,
    Generation,
    HostId,
    MachineId,
    ProtectionId,
    RehearsalId,
)

FACTS = HostFacts("gold", "simulated", "1.0", "a1:9", timedelta(seconds=1))
HELLO = HostHello(FACTS, "a1", (7, b"d" * 32), 3, "run-3", 2)
HELD = HeldProtection(
    ProtectionId("p"), 1, Generation("g"), True, MachineId("m"), "web", HostId("b"), 4
)

TEST = HeldRehearsal(RehearsalId("r"), ProtectionId("p"), Generation("g"), 4, "web - test")


def test_it_tells_which_run_of_the_agent_speaks() -> None:
    assert HELLO.run == AgentRun(3, "run-3")
    assert HostHello(FACTS).run == AgentRun(0, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"anchor": (1 << 63, b"")},
        {"anchor": (-1, b"")},
        {"anchor": (1, b"x" * 33)},
        {"start_count": 1 << 63},
        {"deny_list_version": -1},
        {"run_id": "x" * 65},
        {"run_id": "two\nlines"},
        {"held": (replace(HELD, epoch_number=1 << 63),)},
        {"held": (replace(HELD, grant_version=-1),)},
        {"held": (replace(HELD, protection_id=ProtectionId("é")),)},
        {"held": (replace(HELD, peer_host_id=HostId("x" * 65)),)},
        {"held": (HELD,) * (MAX_HELD + 1)},
        {"rehearsals": (TEST,) * (MAX_HELD + 1)},
        {"rehearsals": (replace(TEST, rehearsal_id=RehearsalId("")),)},
        {"rehearsals": (replace(TEST, rehearsal_id=RehearsalId("x" * 65)),)},
        {"rehearsals": (replace(TEST, sequence=-1),)},
        {"rehearsals": (replace(TEST, machine_name="w" * (MAX_NAME_LENGTH + 1)),)},
    ],
)
def test_what_no_agent_says_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        replace(HELLO, **wrong)
    assert caught.value.code == "invalid-hello"


def test_as_much_as_a_host_can_have_is_taken() -> None:
    hello = replace(HELLO, held=(HELD,) * MAX_HELD, rehearsals=(TEST,) * MAX_HELD)
    assert (len(hello.held), len(hello.rehearsals)) == (MAX_HELD, MAX_HELD)
