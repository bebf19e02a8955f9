import pytest
from pydantic import ValidationError

from coordinator.domain.errors import InvalidValueError
from coordinator.orchestration.vault import Vault
from coordinator.web.catalogue import CatalogueHandlers
from tests.unit.coordinator.requests import body_of, request
from tests.unit.coordinator.vaults import equip, protect


async def test_what_there_is_is_listed(vault: Vault) -> None:
    protection = await protect(vault)
    shelf = CatalogueHandlers(vault)
    listings = {
        "hosts": (shelf.list_hosts, ["a1", "b1"]),
        "machines": (shelf.list_machines, ["web"]),
        "networks": (shelf.list_networks, ["bubble", "dr-lan", "lan"]),
        "policies": (shelf.list_policies, ["quick"]),
    }
    for handler, names in listings.values():
        items = body_of(await handler(request()))["items"]
        assert [item["name"] for item in items] == names
    (machine,) = body_of(await shelf.list_machines(request()))["items"]
    assert machine["protection"] == protection.id
    (mapping,) = body_of(await shelf.list_mappings(request()))["items"]
    assert (mapping["primary_host"], mapping["secondary_host"]) == ("a1", "b1")


async def test_the_vault_and_its_status_are_told(vault: Vault) -> None:
    await equip(vault)
    shelf = CatalogueHandlers(vault)
    told = body_of(await shelf.get_vault(request()))
    assert (told["name"], told["session_address"]) == ("home", "vault.test:7402")
    status = body_of(await shelf.get_status(request()))
    assert (status["vault"], status["health"], len(status["hosts"])) == ("home", "warning", 2)


async def test_what_is_created_is_answered(vault: Vault) -> None:
    await equip(vault)
    shelf = CatalogueHandlers(vault)
    policy = {"name": "slow", "copy_frequency_seconds": 60, "retention_hours": 0}
    response = await shelf.create_policy(request("POST", body=policy))
    assert response.status == 201
    assert body_of(response) == policy | {"id": body_of(response)["id"]}
    mapping = {
        "primary_host": "b1",
        "primary_network": "dr-lan",
        "secondary_host": "a1",
        "secondary_network": "lan",
    }
    response = await shelf.create_mapping(request("POST", body=mapping))
    assert response.status == 201
    assert body_of(response)["test_network"] is None
    response = await shelf.invite_host(request("POST", body={"site": "c"}))
    assert response.status == 201
    assert body_of(response)["join_line"].startswith(f"rk1/{body_of(response)['key_id']}/")


@pytest.mark.parametrize("seconds", [0, -1, 2**63])
async def test_a_life_that_no_number_of_the_api_can_be_is_refused(
    vault: Vault, seconds: int
) -> None:
    body = {"site": "a", "valid_for_seconds": seconds}
    with pytest.raises(ValidationError):
        await CatalogueHandlers(vault).invite_host(request("POST", body=body))


async def test_a_life_beyond_the_calendar_is_only_too_long(vault: Vault) -> None:
    body = {"site": "a", "valid_for_seconds": 2**63 - 1}
    with pytest.raises(InvalidValueError):
        await CatalogueHandlers(vault).invite_host(request("POST", body=body))
