from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import grants
from coordinator.domain.grants import LIFE
from tests.unit.coordinator.examples import NOW


def is_due(share: float, *, name: str = "p", version: int = 1) -> bool:
    return grants.is_due(name, version, NOW, NOW + LIFE, NOW + LIFE * share)


@given(st.text(max_size=40), st.integers(1, 1 << 40))
def test_a_grant_is_renewed_around_half_of_its_life(name: str, version: int) -> None:
    assert not is_due(0.449, name=name, version=version)
    assert is_due(0.551, name=name, version=version)


def test_grants_that_were_made_together_part() -> None:
    due = sum(is_due(0.5, name=f"protection-{at}") for at in range(200))
    assert 60 < due < 140


def test_looking_often_does_not_make_a_grant_due_early() -> None:
    shares = [0.45 + at / 1000 for at in range(101)]
    seen = [is_due(share) for share in shares]
    assert seen == sorted(seen)
    assert [is_due(share) for share in shares] == seen


def test_what_has_no_grant_needs_one() -> None:
    assert grants.is_due("p", 0, None, None, NOW)
    assert grants.is_due("p", 3, None, NOW + LIFE, NOW)


def test_nothing_that_is_due_ends_later_than_what_is_looked_at() -> None:
    not_after = NOW + LIFE
    earliest = not_after - LIFE * 0.55
    assert grants.latest_renewal(earliest) >= not_after - timedelta(seconds=1)
