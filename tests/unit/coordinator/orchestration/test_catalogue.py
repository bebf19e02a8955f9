from datetime import timedelta

import pytest

from coordinator.domain.errors import RefusedError
from coordinator.domain.policy_settings import PolicySettings
from coordinator.orchestration.catalogue import create_policy
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.vaults import BY_ANN

SLOW = PolicySettings(timedelta(hours=1), timedelta(0))


async def test_a_policy_has_a_name_of_its_own(vault: Vault) -> None:
    made = await create_policy(vault, BY_ANN, "slow", SLOW)
    with pytest.raises(RefusedError) as caught:
        await create_policy(vault, BY_ANN, "slow", SLOW)
    assert caught.value.code == "policy-name-taken"
    async with vault.store.read() as records:
        assert await records.policies.all() == (made,)
