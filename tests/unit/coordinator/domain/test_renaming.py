from coordinator.domain.events import EventKind
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.renaming import renamed
from tests.unit.coordinator.examples import LATER, MACHINE, protection_in

PROTECTION = protection_in(ProtectionState.PROTECTED)


def test_a_protection_takes_the_name_that_its_machine_has_now() -> None:
    decision = renamed((PROTECTION,), {MACHINE.id: "web-old"}, LATER)
    (named,) = decision.aggregates
    assert isinstance(named, Protection)
    assert (named.id, named.machine_name) == (PROTECTION.id, "web-old")
    (event,) = decision.events
    assert (event.kind, event.subject) == (EventKind.PROTECTION_RENAMED, PROTECTION.id)
    assert event.detail == "web is web-old now"


def test_a_machine_that_is_not_listed_or_has_its_name_changes_nothing() -> None:
    for names in ({}, {MACHINE.id: "web"}):
        decision = renamed((PROTECTION,), names, LATER)
        assert (decision.aggregates, decision.events) == ((), ())


def test_a_name_that_cannot_be_shown_is_not_taken() -> None:
    decision = renamed((PROTECTION,), {MACHINE.id: "web\u202e10"}, LATER)
    assert (decision.aggregates, decision.events) == ((), ())
