import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

MAPPING = {
    "id": "s1",
    "primary_host": "hv1",
    "storage_class": "gold",
    "secondary_host": "hv2",
    "folder": "D:\\Replicas",
    "health": "healthy",
    "cause": None,
    "remedy": None,
}
CREATE = ("storage-mapping", "create", "--secondary", "hv2", "--folder", "D:\\Replicas")


@pytest.mark.parametrize(("primary", "name"), [("hv1/gold", "gold"), ("hv1", "")])
async def test_a_mapping_is_created(cli: Cli, vault: FakeVault, primary: str, name: str) -> None:
    answer: dict[str, object] = {**MAPPING, "storage_class": name, "protections": []}
    vault.says("POST", "/storage-mappings", answer, status=201)
    assert await cli.json(*CREATE, "--primary", primary) == answer
    keys = ("primary_host", "storage_class", "secondary_host", "folder")
    body = {key: answer[key] for key in keys}
    assert vault.requests == [("POST", "/api/v1/storage-mappings", body)]
    assert await cli.lines(*CREATE, "--primary", primary) == [
        "PRIMARY CLASS SECONDARY FOLDER HEALTH ID",
        f"hv1 {name or '(none)'} hv2 D:\\Replicas healthy s1",
    ]


async def test_mappings_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/storage-mappings", {"items": [MAPPING]})
    assert (await cli.json("storage-mapping", "list"))["items"] == [MAPPING]
    assert len(await cli.lines("storage-mapping", "list")) == 2


async def test_no_mapping_is_said_in_words(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/storage-mappings", {"items": []})
    result = await cli("storage-mapping", "list")
    assert "default folders of their hosts" in result.stderr


async def test_a_mapping_is_shown_with_whom_it_concerns(cli: Cli, vault: FakeVault) -> None:
    broken = {"health": "critical", "cause": "It is gone.", "remedy": "Offer it."}
    vault.says("GET", "/storage-mappings/s1", {**MAPPING, **broken, "protections": ["web", "db"]})
    assert (await cli.lines("storage-mapping", "show", "s1"))[4:] == [
        "health critical",
        "id s1",
        "cause It is gone.",
        "remedy Offer it.",
        "protections web, db",
    ]


async def test_deleting_leaves_replicas_where_they_are(cli: Cli, vault: FakeVault) -> None:
    gone = {"id": "s1", "protections": ["web"]}
    vault.says("POST", "/storage-mappings/s1/delete", gone)
    result = await cli("storage-mapping", "delete", "s1")
    assert result.stdout == "Storage mapping s1 is deleted.\n"
    assert "protections of web: their replicas stay where they are." in result.stderr
    assert await cli.json("storage-mapping", "delete", "s1") == gone
