from dataclasses import replace

import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import protect, save

MAPPING = {
    "primary_host": "a1",
    "storage_class": "",
    "secondary_host": "b1",
    "folder": "D:\\Replicas",
}


@pytest.fixture
async def carl(vault: Vault) -> Asking:
    await protect(vault)
    await save(vault, replace(TARGET, replica_folders=("D:\\Replicas", "E:\\")))
    return await asking(vault, "carl", OperatorRole.CONTRIBUTOR)


async def test_a_mapping_is_created_shown_and_deleted(vault: Vault, carl: Asking) -> None:
    response = await carl.ask("POST", "/storage-mappings", MAPPING)
    assert response.status == 201
    (made,) = (await carl.get("/storage-mappings"))["items"]
    assert made == MAPPING | {
        "id": made["id"],
        "health": "healthy",
        "cause": None,
        "remedy": None,
    }
    path = f"/storage-mappings/{made['id']}"
    assert await carl.get(path) == made | {"protections": ["web"]}
    await save(vault, TARGET)
    (broken,) = (await carl.get("/storage-mappings"))["items"]
    assert (broken["health"], "D:\\Replicas" in broken["cause"]) == ("critical", True)
    for _ in range(2):
        gone = await carl.post(f"{path}/delete", {}, **{"Idempotency-Key": "once"})
        assert gone == {"id": made["id"], "protections": ["web"]}
    assert (await carl.get("/storage-mappings"))["items"] == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"folder": "F:\\"}, 404, "unknown-folder"),
        ({"folder": ""}, 422, "invalid-request"),
        ({"folder": "x" * 1025}, 422, "invalid-request"),
        ({"storage_class": "x" * 101}, 422, "invalid-request"),
        ({"storage_class": " gold"}, 422, "invalid-storage-class"),
        ({"storage_class": None}, 422, "invalid-request"),
        ({"secondary_host": "a1"}, 422, "same-host"),
        ({"primary_host": "c1"}, 404, "unknown-host"),
    ],
)
async def test_what_cannot_be_mapped_is_refused(
    carl: Asking, change: dict[str, object], status: int, code: str
) -> None:
    assert await carl.refusal("POST", "/storage-mappings", MAPPING | change) == (status, code)
    assert (await carl.get("/storage-mappings"))["items"] == []


async def test_a_folder_is_shown_with_its_host(carl: Asking) -> None:
    assert (await carl.get("/hosts/b1"))["replica_folders"] == ["D:\\Replicas", "E:\\"]
