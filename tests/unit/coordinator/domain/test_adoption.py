from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.adoption import adopted, is_member
from coordinator.domain.hello import HeldProtection
from coordinator.domain.identifiers import Generation, HostId
from coordinator.domain.protections import Protection, ProtectionState
from tests.unit.coordinator.domain.reconciling import holds
from tests.unit.coordinator.examples import NOW, SOURCE, TARGET, protection_in

OWN = protection_in(
    ProtectionState.PROTECTED,
    epoch_number=3,
    grant_version=5,
    grant_issued_at=NOW,
    grant_not_after=NOW,
)


Told: TypeAlias = dict[str, Any] | None


def claims(source: Told, target: Told) -> list[tuple[HostId, HeldProtection]]:
    found = []
    for host, more in ((SOURCE, source), (TARGET, target)):
        if more is not None:
            found.append((host.id, holds(OWN, host.id, **more)))
    return found


def adopt(source: Told, target: Told) -> tuple[Protection, str | None]:
    return adopted(OWN, claims(source, target))


def test_members_are_source_and_target_alone() -> None:
    assert is_member(OWN, SOURCE.id)
    assert is_member(OWN, TARGET.id)
    assert not is_member(OWN, HostId("other"))


@pytest.mark.parametrize(
    ("source", "target"),
    [({}, {}), ({}, None), (None, {}), ({"epoch_number": 1}, {"epoch_number": 2})],
)
def test_members_that_know_no_more_change_nothing(source: Told, target: Told) -> None:
    assert adopt(source, target) == (OWN, None)


def test_the_highest_epoch_is_taken_over_with_its_generation() -> None:
    newer = {"epoch_number": 7, "generation": "gen-7"}
    expected = replace(OWN, epoch_number=7, generation=Generation("gen-7"))
    assert adopt(newer, {}) == (expected, None)
    assert adopt({}, newer) == (expected, None)
    assert adopt(newer, newer) == (expected, None)


def test_of_two_generations_of_one_epoch_the_targets_counts_and_they_are_not_equal() -> None:
    found, doubt = adopt(
        {"epoch_number": 7, "generation": "of source"},
        {"epoch_number": 7, "generation": "of target"},
    )
    assert found == replace(OWN, epoch_number=7, generation=Generation("of target"))
    assert "different generations" in (doubt or "")


def test_members_who_have_changed_sides_are_not_believed_to_be_equal() -> None:
    _, doubt = adopt(
        {"epoch_number": 4, "is_source": False}, {"epoch_number": 4, "is_source": True}
    )
    assert "other way round" in (doubt or "")


def test_a_newer_grant_is_counted_and_a_new_one_is_due() -> None:
    found, doubt = adopt({"grant_version": 9}, {"grant_version": 8})
    assert doubt is None
    assert found == replace(OWN, grant_version=9, grant_issued_at=None, grant_not_after=None)


NUMBERS = st.integers(0, 6)
TOLD = st.none() | st.fixed_dictionaries(
    {
        "epoch_number": NUMBERS,
        "grant_version": st.integers(0, 9),
        "generation": st.sampled_from("ab"),
        "is_source": st.booleans(),
    }
)


@given(TOLD, TOLD)
def test_nothing_ever_falls(source: Told, target: Told) -> None:
    told = claims(source, target)
    if not told:
        return
    found, _ = adopted(OWN, told)
    assert found.epoch_number >= max(OWN.epoch_number, *(held.epoch_number for _, held in told))
    assert found.grant_version >= max(OWN.grant_version, *(held.grant_version for _, held in told))
    assert (found.id, found.source_host_id, found.target_host_id, found.state) == (
        OWN.id,
        OWN.source_host_id,
        OWN.target_host_id,
        OWN.state,
    )
