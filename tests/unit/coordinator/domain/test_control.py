from dataclasses import replace

from coordinator.domain.control import Control, VaultMode
from tests.unit.coordinator.examples import NOW

CONTROL = Control("v-1", VaultMode.SERVING, NOW, deny_list_version=4)


def test_every_deny_list_has_a_version_of_its_own() -> None:
    assert CONTROL.deny_list_changed() == replace(CONTROL, deny_list_version=5)


def test_a_vault_serves_or_reconciles() -> None:
    assert not CONTROL.is_reconciling
    assert replace(CONTROL, mode=VaultMode.RECONCILING).is_reconciling
