"""Cancelling jobs over real listeners: what a host has not begun is taken back, what it has begun goes on."""

from replikera.wire.v1 import orders_pb2
from tests.integration.coordinator.running_vault import FakeSession, RunningVault
from tests.integration.coordinator.test_the_line import enable, two_sites


async def cancel(vault: RunningVault, job_id: str) -> None:
    answer = await vault.call("POST", f"/jobs/{job_id}/cancel")
    assert (answer.status, answer.location) == (202, f"/api/v1/jobs/{job_id}")


async def withdraw(session: FakeSession) -> None:
    """Take in that an order is not to be begun, and say that it was not."""
    asked = await session.expect("withdraw")
    withdrawn = orders_pb2.Withdrawn()
    outcome = orders_pb2.OrderOutcome(order_id=asked.order_id, withdrawn=withdrawn)
    await session.send(outcome=outcome)
    accepted = await session.expect("outcome_accepted")
    assert accepted.order_id == asked.order_id


async def test_what_the_target_has_not_begun_is_as_if_it_had_never_been(
    vault: RunningVault,
) -> None:
    sites = await two_sites(vault)
    async with sites.sessions() as (_, target):
        job = await enable(vault)
        await target.order()
        await cancel(vault, job["id"])
        await withdraw(target)
        ended = await vault.get(f"/jobs/{job['id']}")
        assert (ended["state"], ended["allowed_actions"]) == ("cancelled", [])
        assert (await vault.get("/protections"))["items"] == []
        body = {"machine": "web", "target_host": "b1", "policy": "quick"}
        again = await vault.post("/protections", body)
        order = await target.order()
        assert order.job_id == again["id"]


async def test_a_host_that_was_away_never_sees_what_was_taken_back(vault: RunningVault) -> None:
    sites = await two_sites(vault)
    async with sites.sessions():
        pass
    job = await enable(vault)
    await cancel(vault, job["id"])
    assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "running"
    async with sites.target.welcomed(vault) as target:
        await withdraw(target)
    assert (await vault.get(f"/jobs/{job['id']}"))["state"] == "cancelled"


async def test_what_has_begun_goes_on_and_says_that_the_request_came_too_late(
    vault: RunningVault,
) -> None:
    sites = await two_sites(vault)
    async with sites.sessions() as (source, target):
        job = await enable(vault)
        order = await target.order()
        await cancel(vault, job["id"])
        await target.expect("withdraw")
        await target.finish(order)
        following = await source.order()
        going = await vault.get(f"/jobs/{job['id']}")
        assert (going["state"], going["cancel_requested_at"]) == ("running", None)
        assert "after the host had begun" in going["tasks"][0]["detail"]
        await source.finish(following)
        refused = await vault.call("POST", f"/jobs/{job['id']}/cancel")
        assert (refused.status, refused.body["code"]) == (409, "job-not-cancellable")
        assert refused.body["remedy"]
