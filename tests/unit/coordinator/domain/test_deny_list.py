from dataclasses import replace
from datetime import timedelta

from coordinator.domain import deny_list
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.control import Control, VaultMode
from coordinator.domain.events import EventKind
from coordinator.domain.hosts import HostState
from coordinator.domain.identifiers import HostId
from replikera.identity import Role
from tests.unit.coordinator.examples import LATER, NOW, SOURCE, TARGET

CONTROL = Control("v", VaultMode.SERVING, NOW, deny_list_version=4)


def denied(serial: int, name: str = "a", *, hours: int = 1) -> Certificate:
    return Certificate(
        f"{serial:x}",
        Role.HOST,
        name,
        CertificateState.DENIED,
        NOW,
        LATER + timedelta(hours=hours),
        b"",
        b"",
    )


def test_denying_a_member_raises_the_version_even_where_nothing_is_left_to_deny() -> None:
    good = replace(denied(1), state=CertificateState.ACTIVE)
    for register in ((good,), ()):
        decision = deny_list.deny_member(CONTROL, register, "all of a", LATER)
        *certificates, control = decision.aggregates
        assert control == replace(CONTROL, deny_list_version=5)
        assert certificates == [denied(1)][: len(register)]
        (event,) = decision.events
        assert (event.kind, event.detail) == (EventKind.DENY_LIST_CHANGED, "all of a")


def test_the_list_has_what_is_denied_and_would_be_valid() -> None:
    register = (
        denied(1),
        denied(2, hours=-1),
        replace(denied(3), state=CertificateState.SUPERSEDED),
    )
    gone = replace(SOURCE, state=HostState.REVOKED)
    found = deny_list.content(CONTROL, register, (gone,), LATER, limit=10)
    assert (found.version, found.certificates, found.hosts) == (4, (denied(1),), (gone,))


def test_what_does_not_fit_is_what_matters_least() -> None:
    retired = replace(SOURCE, id=HostId("a"), state=HostState.RETIRED)
    revoked = replace(TARGET, id=HostId("b"), state=HostState.REVOKED)
    register = (denied(1, "b", hours=9), denied(2, "c", hours=3), denied(3, "c", hours=2))
    found = deny_list.content(CONTROL, register, (retired, revoked), LATER, limit=1)
    assert found.hosts == (revoked,)
    assert [item.id for item in found.certificates] == ["2"]
    more = deny_list.content(CONTROL, register, (retired, revoked), LATER, limit=3)
    assert [item.id for item in more.certificates] == ["2", "3", "1"]
