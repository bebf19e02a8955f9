from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.orchestration.catalogue import NetworkNames, create_mapping, create_policy
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.vaults import BY_ANN, equip

NAMES = NetworkNames("a1", "lan", "b1", "dr-lan", None)


async def test_a_policy_has_a_name_of_its_own(vault: Vault) -> None:
    made = await create_policy(vault, BY_ANN, "slow", timedelta(hours=1), timedelta(0))
    with pytest.raises(RefusedError) as caught:
        await create_policy(vault, BY_ANN, "slow", timedelta(hours=2), timedelta(0))
    assert caught.value.code == "policy-name-taken"
    async with vault.store.read() as records:
        assert await records.policies.all() == (made,)


async def test_a_network_is_mapped_once_towards_a_host(vault: Vault) -> None:
    await equip(vault)
    with pytest.raises(RefusedError, match="lan of host a1 is mapped to dr-lan of host b1"):
        await create_mapping(vault, BY_ANN, NAMES)
    with pytest.raises(UnknownObjectError):
        await create_mapping(vault, BY_ANN, replace(NAMES, primary_host="c1"))
    back = await create_mapping(vault, BY_ANN, NetworkNames("b1", "dr-lan", "a1", "lan", None))
    async with vault.store.read() as records:
        assert back in await records.mappings.all()
        assert len(await records.mappings.all()) == 2
