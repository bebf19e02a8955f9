"""A protection has the name of its machine: what the machine is called now, not what it was called at the beginning."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import MachineId
from coordinator.domain.protections import Protection


def renamed(
    protections: Iterable[Protection], names: Mapping[MachineId, str], now: datetime
) -> Decision:
    """Decide what becomes of protections whose machines have these names at their source.

    One that cannot be shown is not taken: targets refuse it.
    """
    changed: list[Protection] = []
    events: list[Event] = []
    for protection in protections:
        before = protection.machine_name
        name = names.get(protection.machine_id, before)
        if name != before and name.isprintable():
            changed.append(replace(protection, machine_name=name))
            detail = f"{before} is {name} now"
            events.append(Event(now, EventKind.PROTECTION_RENAMED, protection.id, detail))
    return Decision(tuple(changed), (), tuple(events))
