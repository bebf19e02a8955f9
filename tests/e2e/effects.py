"""What a simulated host's log of effects says of test failovers: each machine made, started, off and removed once."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIFE = ("machine-defined", "machine-started", "machine-powered-off", "machine-removed")
"""The effects of one test failover on its host, in their order."""


@dataclass(frozen=True)
class Effect:
    """One line of the log."""

    name: str
    machine_id: str
    rehearsal_id: str


@dataclass
class Findings:
    """What the log shows."""

    rehearsals: int = 0
    lines: int = 0
    problems: list[str] = field(default_factory=list)


def read_effects(path: Path) -> list[Effect]:
    """Return the lines about machines of test failovers, oldest first."""
    if not path.exists():
        return []
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        Effect(entry["effect"], entry["object"], entry["tag"])
        for entry in entries
        if entry["effect"] in LIFE and entry["tag"]
    ]


def judge(effects: Iterable[Effect], rehearsals: Sequence[Mapping[str, Any]]) -> Findings:
    """Compare the log with the test failovers that the vault has, all cleaned up."""
    found = Findings(rehearsals=len(rehearsals))
    by_rehearsal: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_rehearsal[effect.rehearsal_id].append(effect)
        found.lines += 1
    known = {str(each["id"]): each["machine_id"] for each in rehearsals}
    for stranger in by_rehearsal.keys() - known.keys():
        found.problems.append(f"the host acted for {stranger}, which the vault does not know")
    for rehearsal_id, machine_id in known.items():
        expected = [Effect(name, machine_id, rehearsal_id) for name in LIFE]
        if by_rehearsal[rehearsal_id] != expected:
            lines = [f"{each.name} {each.machine_id}" for each in by_rehearsal[rehearsal_id]]
            found.problems.append(
                f"test failover {rehearsal_id}: the vault was told of machine {machine_id}, "
                f"the host's log shows {lines}"
            )
    return found
