from dataclasses import replace
from typing import Any

import pytest

from coordinator.domain.control import Control, VaultMode
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hello import HostHello
from coordinator.domain.identifiers import HostId, ProtectionId
from coordinator.domain.protections import ProtectionState
from coordinator.domain.suspicion import MOST_AHEAD, Known, is_of_lost_history, suspicion
from tests.unit.coordinator.domain.reconciling import digest, hello, holds
from tests.unit.coordinator.examples import NOW, SOURCE, protection_in

CONTROL = Control("v-1", VaultMode.SERVING, NOW, deny_list_version=4, reconciled_number=100)
OWN = protection_in(ProtectionState.PROTECTED, epoch_number=3, grant_version=5)
KNOWN = Known(CONTROL, 120, digest("own"), {OWN.id: OWN})


def found(said: HostHello, **more: Any) -> str | None:
    return suspicion(SOURCE, said, replace(KNOWN, **more))


@pytest.mark.parametrize(
    "said",
    [
        hello(),
        hello(number=120, history="own", deny_list_version=4),
        hello(holds(OWN, SOURCE.id)),
        hello(holds(OWN, SOURCE.id, epoch_number=1, grant_version=0)),
        # Of an agent that kept no digest yet.
        hello(number=120),
        # Of a history that was lost, and reconciled with since.
        hello(number=100, history="lost"),
        hello(number=57, history="lost"),
        # Kept by hosts alone: known since the last reconciliation.
        hello(holds(replace(OWN, id=ProtectionId("orphan")), SOURCE.id, epoch_number=99)),
    ],
)
def test_a_host_that_knows_no_more_than_the_vault_is_nothing_new(said: HostHello) -> None:
    assert found(said) is None


def test_a_line_beyond_the_end_of_the_history_is_one_that_was_lost() -> None:
    cause = found(hello(number=121, history="x"))
    assert cause is not None
    assert "a1 has obeyed line 121 of the history, which ends at 120" in cause
    assert found(hello(number=121)) is not None


def test_another_line_of_the_same_number_is_of_another_history() -> None:
    assert "another line 120" in (found(hello(number=120, history="x")) or "")
    assert "another line 110" in (found(hello(number=110, history="x"), digest=None) or "")


def test_a_newer_deny_list_was_lost() -> None:
    assert "deny-list 5, the vault 4" in (found(hello(deny_list_version=5)) or "")


def test_a_member_with_a_newer_epoch_or_grant_knows_more() -> None:
    assert "in epoch 4" in (found(hello(holds(OWN, SOURCE.id, epoch_number=4))) or "")
    assert "grant 6" in (found(hello(holds(OWN, SOURCE.id, grant_version=6))) or "")


def test_a_host_that_is_no_member_is_not_believed() -> None:
    stranger = replace(SOURCE, id=HostId("other"))
    said = hello(holds(OWN, SOURCE.id, epoch_number=4))
    assert suspicion(stranger, said, KNOWN) is None


@pytest.mark.parametrize(
    "said",
    [
        hello(number=121 + MOST_AHEAD),
        hello(number=2**63 - 1, history="x"),
        hello(deny_list_version=5 + MOST_AHEAD),
        hello(holds(OWN, SOURCE.id, epoch_number=4 + MOST_AHEAD)),
        hello(holds(OWN, SOURCE.id, grant_version=6 + MOST_AHEAD)),
    ],
)
def test_what_no_history_can_have_led_to_is_refused(said: HostHello) -> None:
    with pytest.raises(InvalidValueError) as caught:
        found(said)
    assert caught.value.code == "unbelievable-claim"
    assert "a1" in caught.value.cause


@pytest.mark.parametrize(
    ("said", "own", "is_lost"),
    [
        (hello(), "", False),
        (hello(number=57, history="lost"), "", True),
        (hello(number=57, history="lost"), "own", True),
        (hello(number=57), "", True),
        (hello(number=100, history="lost"), "", True),
        (hello(number=57, history="own"), "own", False),
        (hello(number=57), "own", False),
        (hello(number=101, history="lost"), "own", False),
    ],
)
def test_a_host_of_a_history_that_is_settled_is_told_apart(
    said: HostHello, own: str, is_lost: bool
) -> None:
    known = replace(KNOWN, digest=digest(own) if own else None)
    assert is_of_lost_history(said, known) is is_lost
