"""One certificate of a member counts; what is denied is never believed again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.domain import certificates
from coordinator.domain.certificates import Certificate, CertificateState, Standing
from replikera.identity import Caller, Role
from tests.unit.coordinator.examples import LATER, NOW

LIFE = timedelta(days=7)


def certificate(serial: int, state: CertificateState, *, days: float = 0) -> Certificate:
    issued_at = NOW + timedelta(days=days)
    return Certificate(
        f"{serial:x}", Role.HOST, "a", state, issued_at, issued_at + LIFE, b"k", b"c"
    )


def shown(certificate: Certificate) -> Caller:
    return Caller(
        certificate.role, certificate.name, "v", int(certificate.id, 16), certificate.not_after
    )


FIRST = certificate(1, CertificateState.ACTIVE)
SECOND = certificate(2, CertificateState.ISSUED, days=3)


def test_the_first_use_of_a_newer_one_supersedes_the_one_before() -> None:
    use = certificates.use(SECOND, (SECOND, FIRST))
    assert use.standing is Standing.GOOD
    assert set(use.changed) == {
        replace(SECOND, state=CertificateState.ACTIVE),
        replace(FIRST, state=CertificateState.SUPERSEDED),
    }


def test_using_the_active_one_changes_nothing_whatever_else_was_issued() -> None:
    use = certificates.use(FIRST, (SECOND, FIRST))
    assert (use.standing, use.changed) == (Standing.GOOD, ())


@pytest.mark.parametrize(
    ("state", "standing"),
    [(CertificateState.SUPERSEDED, Standing.COPY), (CertificateState.DENIED, Standing.DENIED)],
)
def test_what_is_not_believed_changes_nothing(state: CertificateState, standing: Standing) -> None:
    use = certificates.use(replace(FIRST, state=state), (SECOND,))
    assert (use.standing, use.changed) == (standing, ())


def test_a_certificate_that_was_passed_over_is_superseded_and_a_newer_one_waits() -> None:
    lost, newest = SECOND, certificate(4, CertificateState.ISSUED, days=5)
    used = certificate(3, CertificateState.ISSUED, days=4)
    states = {
        item.id: item.state for item in certificates.use(used, (newest, used, lost, FIRST)).changed
    }
    assert states == {"3": "active", "2": "superseded", "1": "superseded"}


def test_an_unknown_certificate_is_adopted_if_it_ends_no_earlier_than_all_that_are_believed() -> (
    None
):
    stranger = shown(certificate(9, CertificateState.ISSUED, days=1))
    use = certificates.adopt(stranger, (FIRST,), LATER)
    assert use.standing is Standing.GOOD
    active, older = use.changed
    assert (active.id, active.state, active.not_after) == ("9", "active", stranger.not_after)
    assert older == replace(FIRST, state=CertificateState.SUPERSEDED)


def test_an_unknown_certificate_older_than_one_that_is_believed_is_a_copy() -> None:
    stranger = shown(certificate(9, CertificateState.ISSUED, days=1))
    assert certificates.adopt(stranger, (SECOND, FIRST), LATER).standing is Standing.COPY
    denied = replace(SECOND, state=CertificateState.DENIED)
    assert certificates.adopt(stranger, (denied,), LATER).standing is Standing.GOOD


def test_all_that_have_not_expired_are_denied_once() -> None:
    past = certificate(7, CertificateState.SUPERSEDED, days=-8)
    denied = certificates.deny((FIRST, SECOND, past), LATER)
    assert [(item.id, item.state) for item in denied] == [("1", "denied"), ("2", "denied")]
    assert certificates.deny(denied, LATER) == ()


class Life(RuleBasedStateMachine):
    """One member, and whatever it and thieves may do with its certificates, in any order."""

    register: dict[str, Certificate]

    @initialize()
    def join(self) -> None:
        self.register = {}
        self.lost: dict[str, Certificate] = {}
        self.denied: set[str] = set()
        self.serial = 0
        self.now = NOW
        self.issue()

    def keep(self, *changed: Certificate) -> None:
        for item in changed:
            self.register[item.id] = item
            if item.state is CertificateState.DENIED:
                self.denied.add(item.id)

    def new(self) -> Certificate:
        self.serial += 1
        self.now += timedelta(hours=1)
        made = certificate(self.serial, CertificateState.ISSUED)
        return replace(made, issued_at=self.now, not_after=self.now + LIFE)

    @rule()
    def issue(self) -> None:
        self.keep(self.new())

    @rule()
    def issue_in_a_history_that_is_lost(self) -> None:
        made = self.new()
        self.lost[made.id] = made

    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        presented = self.register[data.draw(st.sampled_from(sorted(self.register)))]
        use = certificates.use(presented, self.register.values())
        if presented.id in self.denied:
            assert use.standing is Standing.DENIED
        if use.standing is Standing.GOOD:
            self.keep(*use.changed)
            assert self.active() == [presented.id]
        else:
            assert use.changed == ()

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        stranger = self.lost.pop(data.draw(st.sampled_from(sorted(self.lost))))
        believed = [item for item in self.register.values() if item.is_believed]
        use = certificates.adopt(shown(stranger), self.register.values(), self.now)
        if any(item.not_after > stranger.not_after for item in believed):
            assert use.standing is Standing.COPY
        else:
            self.keep(*use.changed)
            assert self.active() == [stranger.id]

    @rule()
    def deny(self) -> None:
        self.keep(*certificates.deny(self.register.values(), self.now))
        assert not any(
            item.is_believed for item in self.register.values() if item.not_after > self.now
        )

    @rule(days=st.integers(1, 8))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    def active(self) -> list[str]:
        return [item.id for item in self.register.values() if item.state == "active"]

    @invariant()
    def at_most_one_is_active(self) -> None:
        assert len(self.active()) <= 1

    @invariant()
    def what_was_denied_stays_denied(self) -> None:
        assert all(self.register[name].state == "denied" for name in self.denied)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
