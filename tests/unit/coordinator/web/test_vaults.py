import io
import re
import tarfile

import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from coordinator.web.models import NoQuery
from coordinator.web.routes import routes
from coordinator.web.table import Call
from coordinator.web.vaults import VaultHandlers
from tests.unit.coordinator.asking import Asking, asking, new_operator
from tests.unit.coordinator.vaults import BY_ANN, equip


@pytest.fixture
async def owner(vault: Vault) -> Asking:
    return await asking(vault, "olga", OperatorRole.OWNER)


async def reconcile(vault: Vault) -> None:
    async with vault.store.write() as records:
        await vault.reconciliation.begin(records, "a test says so", vault.clock.now())


async def test_the_vault_and_its_status_are_told(vault: Vault, owner: Asking) -> None:
    await equip(vault)
    told = await owner.get("/vault")
    assert (told["name"], told["session_address"]) == ("home", "vault.test:7402")
    assert told["fingerprint"] == vault.authority.fingerprint
    assert (told["mode"], told["hosts_missing"]) == ("serving", [])
    status = await owner.get("/status")
    assert (status["vault"], status["health"], len(status["hosts"])) == ("home", "warning", 2)
    assert status["mode"] == "serving"


async def test_a_vault_that_serves_has_nothing_to_reconcile(owner: Asking) -> None:
    body = {"accept_missing": False}
    assert await owner.refusal("POST", "/vault/reconciliation", body) == (409, "not-reconciling")
    assert await owner.refusal("POST", "/vault/reconciliation", {}) == (422, "invalid-request")


async def test_while_the_vault_reconciles_only_marked_rows_change_it(
    vault: Vault, owner: Asking
) -> None:
    await new_operator(vault, "rita", OperatorRole.READER)
    await reconcile(vault)
    for row in routes(vault):
        path = re.sub(r"\{\w+\}", "x", row.path.removeprefix("/api/v1"))
        if row.method == "POST":
            _, code = await owner.refusal("POST", path, {})
            assert (code == "vault-reconciling") == (not row.is_open_while_reconciling), row
    told = await owner.get("/vault")
    assert told["mode"] == "reconciling"
    assert (await owner.get("/status"))["mode"] == "reconciling"
    assert (await owner.get("/status"))["health"] == "warning"
    assert (await owner.post("/operators/rita/revoke", {}))["revoked_at"] is not None


async def test_an_owner_ends_reconciling(vault: Vault, owner: Asking) -> None:
    await reconcile(vault)
    ended = await owner.post("/vault/reconciliation", {"accept_missing": True})
    assert (ended["mode"], ended["hosts_missing"]) == ("serving", [])
    assert (await owner.post("/sites", {"name": "north"}))["name"] == "north"


async def test_a_backup_is_an_archive_of_the_size_that_was_told(
    vault: Vault, owner: Asking
) -> None:
    async with vault.store.read() as records:
        operator = await records.operators.get("olga")
    call = Call(owner.credentials.caller, operator, BY_ANN, {})
    content = await VaultHandlers(vault).get_backup(call, NoQuery())
    async with content.opening as opened:
        data = b"".join([chunk async for chunk in opened.chunks])
    assert len(data) == opened.size
    assert opened.file_name is not None
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames()[0] == "manifest.json"
    assert (await owner.get("/events"))["items"][0]["kind"] == "vault-backed-up"
