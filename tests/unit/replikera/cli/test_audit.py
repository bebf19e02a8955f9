from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from replikera.cli.audit import START, BrokenHistoryError, Place, Verified, verify_audit_log
from replikera.cli.client import VaultClient
from replikera.cli.errors import AnswerError, ExitCode
from replikera.cli.profile import load_profile
from replikera.history import GENESIS, Line, digest_of
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = (1, 2, 3, 5, 1_000_005)


def history(numbers: tuple[int, ...] = NUMBERS) -> list[dict[str, Any]]:
    """Return a history as the vault tells it."""
    digest, items = GENESIS, []
    for number in numbers:
        at = BEGIN + timedelta(microseconds=number)
        line = Line(number, at, "operator/ada", "site-created", f"s{number}", "ü at dc-a")
        digest = digest_of(digest, line)
        items.append(
            {
                "number": number,
                "occurred_at": at.isoformat().replace("+00:00", "Z"),
                "actor": line.actor,
                "kind": line.kind,
                "subject": line.subject,
                "detail": line.detail,
                "digest": digest.hex(),
            }
        )
    return items


def place(items: list[dict[str, Any]], number: int) -> Place:
    [digest] = [item["digest"] for item in items if item["number"] == number]
    return Place(number, bytes.fromhex(digest))


def tells(vault: FakeVault, items: list[dict[str, Any]], size: int = 2) -> None:
    starts = range(0, max(len(items), 1), size)
    vault.says(
        *("GET", "/audit"),
        *(
            {
                "items": items[start : start + size],
                "next_cursor": str(start) if start + size < len(items) else None,
            }
            for start in starts
        ),
    )


@pytest.fixture
async def client(cli: Cli) -> AsyncIterator[VaultClient]:
    profile = load_profile(cli.ports.files, cli.profile, cli.clock.now())
    async with VaultClient(profile, cli.ports) as opened:
        yield opened


async def test_a_whole_history_is_followed_over_its_pages(
    client: VaultClient, vault: FakeVault
) -> None:
    items = history()
    tells(vault, items)
    assert await verify_audit_log(client, START) == Verified(5, place(items, 1_000_005))
    assert vault.queries[0]["after"] == "0"


async def test_a_history_without_lines_has_its_beginning_as_head(
    client: VaultClient, vault: FakeVault
) -> None:
    tells(vault, [])
    assert await verify_audit_log(client, START) == Verified(0, START)


@pytest.mark.parametrize("known", NUMBERS)
async def test_what_is_known_is_looked_for_and_the_rest_follows_from_it(
    client: VaultClient, vault: FakeVault, known: int
) -> None:
    items = history()
    tells(vault, [item for item in items if item["number"] >= known])
    verified = await verify_audit_log(client, place(items, known))
    assert verified == Verified(len(items) - 1 - NUMBERS.index(known), place(items, 1_000_005))
    assert vault.queries[0]["after"] == str(known - 1)


@pytest.mark.parametrize("field", ["actor", "kind", "subject", "detail", "occurred_at", "number"])
async def test_a_changed_line_is_found(client: VaultClient, vault: FakeVault, field: str) -> None:
    items = history()
    changed: dict[str, object] = {"occurred_at": "2026-03-01T12:00:00Z", "number": 4}
    items[2][field] = changed.get(field, "other")
    tells(vault, items)
    with pytest.raises(BrokenHistoryError) as caught:
        await verify_audit_log(client, START)
    assert caught.value.code == "history-broken"
    assert f"Line {items[2]['number']} of the history" in caught.value.cause
    assert caught.value.exit_code is ExitCode.FAILED


async def test_a_removed_line_is_found(client: VaultClient, vault: FakeVault) -> None:
    items = history()
    tells(vault, items[:2] + items[3:])
    with pytest.raises(BrokenHistoryError, match="Line 5 of the history does not have the digest"):
        await verify_audit_log(client, START)


async def test_a_line_told_twice_is_found(client: VaultClient, vault: FakeVault) -> None:
    items = history()
    tells(vault, [items[0], items[1], items[1]])
    with pytest.raises(BrokenHistoryError, match="comes after line 2"):
        await verify_audit_log(client, START)


async def test_a_history_that_was_written_anew_is_found_by_what_was_kept(
    client: VaultClient, vault: FakeVault
) -> None:
    kept = place(history(), 3)
    anew = history()
    anew[0]["detail"] = "other"
    tells(vault, anew[2:])
    wrong = Place(3, bytes(31) + b"x")
    with pytest.raises(BrokenHistoryError, match="has the digest"):
        await verify_audit_log(client, wrong)
    assert kept.number == 3


@pytest.mark.parametrize("left", [(1, 2), (1, 2, 5)])
async def test_a_history_that_lost_the_known_line_is_found(
    client: VaultClient, vault: FakeVault, left: tuple[int, ...]
) -> None:
    tells(vault, [item for item in history(left) if item["number"] > 2])
    with pytest.raises(BrokenHistoryError) as caught:
        await verify_audit_log(client, place(history(), 3))
    assert caught.value.code == "history-cut"
    assert "vault-restored" in caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "1"},
        {"number": True},
        {"occurred_at": "yesterday"},
        {"detail": None},
        {"digest": "xyz"},
        {"digest": None},
    ],
)
async def test_a_line_that_makes_no_sense_is_an_error(
    client: VaultClient, vault: FakeVault, changes: dict[str, object]
) -> None:
    tells(vault, [{**history()[0], **changes}])
    with pytest.raises(AnswerError):
        await verify_audit_log(client, START)
