from datetime import timedelta
from urllib.parse import quote

import pytest

from coordinator.domain.operators import OperatorRole
from coordinator.domain.orders import DiskDigest, PointDigests, PointExported, PointNamed
from coordinator.domain.points import PointKind
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.asking import Asking, asking
from tests.unit.coordinator.examples import SOURCE, TARGET, recovery_point
from tests.unit.coordinator.vaults import protect, report, the_order, the_protection

POINTS = "/protections/web/points"


@pytest.fixture
async def otto(vault: Vault) -> Asking:
    await protect(vault)
    await report(vault, 2, kind=PointKind.APPLICATION_CONSISTENT)
    await report(vault, 3)
    return await asking(vault, "otto", OperatorRole.OPERATOR)


def sequences(*pages: dict[str, list[dict[str, int]]]) -> list[int]:
    return [point["sequence"] for page in pages for point in page["items"]]


async def test_points_are_listed_newest_first_a_page_at_a_time(otto: Asking) -> None:
    first = await otto.get(f"{POINTS}?limit=2")
    rest = await otto.get(f"{POINTS}?limit=2&cursor={first['next_cursor']}")
    assert sequences(first, rest) == [3, 2, 1]


async def test_points_are_listed_by_kind_and_time(otto: Asking) -> None:
    assert sequences(await otto.get(f"{POINTS}?kind=application-consistent")) == [2]
    second, third = (quote(recovery_point(at).capture_started_at.isoformat()) for at in (2, 3))
    assert sequences(await otto.get(f"{POINTS}?captured_from={second}")) == [3, 2]
    assert sequences(await otto.get(f"{POINTS}?captured_until={third}")) == [2, 1]
    both = f"{POINTS}?captured_from={second}&captured_until={third}&kind=crash-consistent"
    assert sequences(await otto.get(both)) == []


@pytest.mark.parametrize(
    "query", ["kind=good", "captured_from=yesterday", "captured_until=2026-03-01T12:00:00"]
)
async def test_a_list_of_what_cannot_be_is_refused(otto: Asking, query: str) -> None:
    assert await otto.refusal("GET", f"{POINTS}?{query}") == (422, "invalid-request")


async def test_a_point_is_found_by_all_that_stands_for_it(vault: Vault, otto: Asking) -> None:
    second = recovery_point(2)
    shown = await otto.get(f"{POINTS}/2")
    generation = (await the_protection(vault)).generation
    assert (shown["id"], shown["generation"]) == (f"{generation}:2", generation)
    assert (shown["kind"], shown["payload_bytes"]) == ("application-consistent", 4096)
    until = second.sealed_at + timedelta(hours=1)
    assert shown["retained_until"] == until.isoformat().replace("+00:00", "Z")
    for text in (
        shown["id"],
        "latest-application-consistent",
        second.capture_ended_at.isoformat(),
        second.capture_ended_at.isoformat().replace("+00:00", "Z"),
    ):
        assert await otto.get(f"{POINTS}/{quote(text)}") == shown
    newest = await otto.get(f"{POINTS}/latest")
    assert (newest["sequence"], newest["retained_until"]) == (3, None)


@pytest.mark.parametrize(
    ("point", "status", "code"),
    [
        ("9", 404, "unknown-point"),
        ("2000-01-01T00:00:00Z", 404, "unknown-point"),
        ("0001-01-01T00:00:00%2B14:00", 404, "unknown-point"),
        ("9999-12-31T23:59:59-14:00", 200, ""),
        ("newest", 422, "invalid-point"),
        ("%F0%9F%8E%83", 422, "invalid-point"),
        ("2026-03-01T12:00:00", 422, "invalid-point"),
    ],
)
async def test_what_stands_for_no_point_is_refused(
    otto: Asking, point: str, status: int, code: str
) -> None:
    if status == 200:
        assert (await otto.get(f"{POINTS}/{point}"))["sequence"] == 3
    else:
        assert await otto.refusal("GET", f"{POINTS}/{point}") == (status, code)
        assert await otto.refusal("POST", f"{POINTS}/{point}/digest") == (status, code)


async def test_a_digest_is_a_job_that_keeps_its_result(vault: Vault, otto: Asking) -> None:
    response = await otto.ask("POST", f"{POINTS}/latest/digest")
    assert response.status == 202
    path = response.headers["Location"].removeprefix("/api/v1")
    job = await otto.get(path)
    assert (job["kind"], job["subject"], job["result"]) == ("digest-point", "web", None)
    assert job["progress"] is None
    assert job["allowed_actions"] == ["cancel"]
    assert await otto.refusal("POST", f"{POINTS}/1/digest") == (409, "digest-running")
    disk = DiskDigest("disk-1", "system.vhdx", 1 << 30, "ab" * 32)
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, PointDigests((disk,)))
    job = await otto.get(path)
    generation = (await the_protection(vault)).generation
    assert (job["state"], job["result"]) == (
        "succeeded",
        {
            "point": {"generation": generation, "sequence": 3},
            "disks": [
                {
                    "disk_id": "disk-1",
                    "name": "system.vhdx",
                    "size": 1 << 30,
                    "sha256": "ab" * 32,
                }
            ],
        },
    )


async def test_retention_is_shown_as_far_as_it_is_known(otto: Asking) -> None:
    shown = await otto.get("/protections/web/retention")
    assert (shown["policy"], shown["retention_hours"]) == ("quick", 1)
    assert (shown["count"], shown["payload_bytes"]) == (3, 3 * 4096)
    assert shown["oldest"] == await otto.get(f"{POINTS}/1")
    assert shown["newest"] == await otto.get(f"{POINTS}/latest")
    assert shown["newest_application_consistent"] == await otto.get(f"{POINTS}/2")


async def test_who_may_only_read_orders_no_digest(vault: Vault, otto: Asking) -> None:
    del otto
    carl = await asking(vault, "carl", OperatorRole.CONTRIBUTOR)
    assert await carl.refusal("POST", f"{POINTS}/latest/digest") == (403, "role-not-allowed")


async def test_an_export_is_a_job_that_tells_where_the_file_is(vault: Vault, otto: Asking) -> None:
    body = {"file_name": "web.raw", "disk": 0}
    response = await otto.ask("POST", f"{POINTS}/latest/export", body)
    assert response.status == 202
    path = response.headers["Location"].removeprefix("/api/v1")
    order = await the_order(vault, TARGET.id)
    disk = DiskDigest("disk-1", "system.vhdx", 1 << 30, "ab" * 32)
    await receive_outcome(vault, TARGET.id, order.id, PointExported("/exports/web.raw", disk))
    job = await otto.get(path)
    assert (job["kind"], job["state"]) == ("export-point", "succeeded")
    assert job["result"]["path"] == "/exports/web.raw"
    assert job["result"]["disk"]["sha256"] == "ab" * 32
    assert job["result"]["point"]["sequence"] == 3


async def test_a_point_is_taken_with_a_name(vault: Vault, otto: Asking) -> None:
    response = await otto.ask("POST", POINTS, {"name": "patch day"})
    assert response.status == 202
    path = response.headers["Location"].removeprefix("/api/v1")
    order = await the_order(vault, SOURCE.id)
    generation = (await the_protection(vault)).generation
    await report(vault, 4, kind=PointKind.NAMED, name="patch day")
    await receive_outcome(vault, SOURCE.id, order.id, PointNamed(generation, 4))
    job = await otto.get(path)
    assert (job["kind"], job["state"]) == ("name-point", "succeeded")
    assert job["result"] == {
        "point": {"generation": generation, "sequence": 4},
        "name": "patch day",
    }
    found = await otto.get(f"{POINTS}/{quote('name:patch day')}")
    assert (found["sequence"], found["kind"], found["name"]) == (4, "named", "patch day")


async def test_who_may_only_change_protections_takes_no_point(vault: Vault, otto: Asking) -> None:
    del otto
    carl = await asking(vault, "carl", OperatorRole.CONTRIBUTOR)
    refusal = await carl.refusal("POST", POINTS, {"name": "patch day"})
    assert refusal == (403, "role-not-allowed")
