import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.decisions import NOTHING
from coordinator.domain.errors import InvalidValueError, RefusedError, UnknownObjectError
from coordinator.domain.events import EventKind
from coordinator.orchestration import sites
from coordinator.orchestration.sites import create_cloud, create_site, ensure_cloud, existing_site
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.vaults import BY_ANN

KEYED = by_operator("ann", "key-1", b"digest")


async def test_a_site_has_a_name_of_its_own(vault: Vault) -> None:
    made = await create_site(vault, BY_ANN, "north")
    with pytest.raises(RefusedError) as caught:
        await create_site(vault, BY_ANN, "north")
    assert caught.value.code == "site-name-taken"
    async with vault.store.read() as records:
        assert await records.sites.all() == (made,)
        assert await existing_site(records, "north") == made
        assert await existing_site(records, made.id) == made


async def test_the_same_request_makes_one_site_and_one_cloud(vault: Vault) -> None:
    site = await create_site(vault, KEYED, "north")
    assert await create_site(vault, KEYED, "north") == site
    keyed = by_operator("ann", "key-2", b"digest")
    cloud = await create_cloud(vault, keyed, "gold", "north")
    assert await create_cloud(vault, keyed, "gold", "north") == cloud
    with pytest.raises(RefusedError) as caught:
        await create_site(vault, by_operator("ann", "key-1", b"another"), "south")
    assert caught.value.code == "idempotency-key-reused"
    other = await create_site(vault, by_operator("bob", "key-1", b"another"), "south")
    assert other.name == "south"


async def test_a_cloud_is_unique_at_its_site_only(vault: Vault) -> None:
    await create_site(vault, BY_ANN, "north")
    south = await create_site(vault, BY_ANN, "south")
    await create_cloud(vault, BY_ANN, "gold", "north")
    other = await create_cloud(vault, BY_ANN, "gold", south.id)
    assert other.site == "south"
    with pytest.raises(RefusedError) as caught:
        await create_cloud(vault, BY_ANN, "gold", "north")
    assert caught.value.code == "cloud-name-taken"


async def test_an_unknown_site_tells_how_to_make_one(vault: Vault) -> None:
    with pytest.raises(UnknownObjectError) as caught:
        await create_cloud(vault, BY_ANN, "gold", "nowhere")
    assert (caught.value.code, caught.value.remedy) == (
        "unknown-site",
        "Create it first: replikera site create.",
    )


async def test_the_cloud_that_an_agent_names_is_made_once(vault: Vault) -> None:
    await create_site(vault, BY_ANN, "north")
    now = vault.clock.now()
    async with vault.store.write() as records:
        decision = await ensure_cloud(records, "north", "gold", now)
        assert [event.kind for event in decision.events] == [EventKind.CLOUD_CREATED]
        await records.save(decision, BY_ANN)
        assert await ensure_cloud(records, "north", "gold", now) == NOTHING
        assert await ensure_cloud(records, "north", "", now) == NOTHING
        with pytest.raises(InvalidValueError):
            await ensure_cloud(records, "north", "a/b", now)
    with pytest.raises(RefusedError):
        await create_cloud(vault, BY_ANN, "gold", "north")


async def test_agents_do_not_fill_the_history_with_clouds(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "MAX_CLOUDS", 2)
    await create_site(vault, BY_ANN, "north")
    async with vault.store.write() as records:
        for name in ("a", "b", "c"):
            await records.save(
                await ensure_cloud(records, "north", name, vault.clock.now()), BY_ANN
            )
        assert [cloud.name for cloud in await records.clouds.all()] == ["a", "b"]
