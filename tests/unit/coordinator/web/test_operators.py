from coordinator.domain.operators import OperatorRole
from coordinator.orchestration.vault import Vault
from replikera.identity import Credentials, generate_private_key
from tests.unit.coordinator.asking import Asking, asking, signing_text


async def test_an_owner_creates_lists_and_revokes(vault: Vault) -> None:
    owner = await asking(vault, "olga", OperatorRole.OWNER)
    key = generate_private_key()
    body = {
        "name": "rita",
        "role": "reader",
        "certificate_signing_request": signing_text(key),
    }
    made = await owner.post("/operators", body)
    assert (made["name"], made["role"], made["revoked_at"]) == ("rita", "reader", None)
    assert made["root_certificate"] == vault.authority.root_certificate.decode()
    rita = Asking(vault, Credentials(made["certificate_chain"].encode(), key, b""))
    assert (await rita.get("/operators/self"))["name"] == "rita"
    listed = await rita.get("/operators")
    assert [item["name"] for item in listed["items"]] == ["ann", "olga", "rita"]
    gone = await owner.post("/operators/rita/revoke", {"reason": "left"})
    assert gone["revoked_at"] is not None
    assert (await rita.refusal("GET", "/operators/self"))[0] == 403
    assert await owner.refusal("POST", "/operators/rita/revoke") == (
        409,
        "operator-revoked-already",
    )
    assert await owner.refusal("POST", "/operators", body) == (409, "operator-name-taken")
    wrong = body | {"name": "bob", "role": "admin"}
    assert await owner.refusal("POST", "/operators", wrong) == (422, "invalid-request")


async def test_everybody_renews_what_is_his_own(vault: Vault) -> None:
    rita = await asking(vault, "rita", OperatorRole.READER)
    before = await rita.get("/operators/self")
    assert before["certificate"]["state"] == "active"
    key = generate_private_key()
    request = {"certificate_signing_request": signing_text(key)}
    renewed = await rita.post("/operators/self/renew", request)
    assert renewed["name"] == "rita"
    again = Asking(vault, Credentials(renewed["certificate_chain"].encode(), key, b""))
    after = await again.get("/operators/self")
    assert after["certificate"]["serial"] != before["certificate"]["serial"]
    assert after["certificate"]["not_after"] == renewed["not_after"]
    assert await rita.refusal("GET", "/vault") == (403, "certificate-superseded")
