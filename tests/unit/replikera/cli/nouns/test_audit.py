import json

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli
from tests.unit.replikera.cli.test_audit import history, tells

HEAD = history()[-1]


async def test_lines_are_listed_with_who_did_it(cli: Cli, vault: FakeVault) -> None:
    tells(vault, history()[:1])
    assert await cli.lines("audit", "list", "--after", "0") == [
        "NUMBER TIME ACTOR KIND DETAIL SUBJECT",
        "1 2026-03-01 12:00:00Z operator/ada site-created ü at dc-a s1",
    ]


async def test_a_whole_log_gives_what_to_keep(cli: Cli, vault: FakeVault) -> None:
    tells(vault, history())
    result = await cli("audit", "verify")
    assert result.exit_code == 0
    assert "5 lines after line 0" in result.stdout
    assert (
        f"replikera audit verify --after {HEAD['number']} --digest {HEAD['digest']}"
        in result.stderr
    )
    tells(vault, history())
    assert await cli.json("audit", "verify") == {
        "after": 0,
        "lines": 5,
        "head": {"number": HEAD["number"], "digest": HEAD["digest"]},
    }


async def test_what_was_kept_is_the_beginning_of_the_next_check(cli: Cli, vault: FakeVault) -> None:
    tells(vault, history()[2:])
    kept = ("--after", "3", "--digest", history()[2]["digest"].upper())
    found = await cli.json("audit", "verify", *kept)
    assert (found["after"], found["lines"]) == (3, 2)


async def test_a_broken_log_ends_with_1(cli: Cli, vault: FakeVault) -> None:
    items = history()
    items[1]["actor"] = "operator/eve"
    tells(vault, items)
    result = await cli("-o", "json", "audit", "verify")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(result.stderr)["code"] == "history-broken"


@pytest.mark.parametrize(
    "options",
    [
        ("--after", "3"),
        ("--digest", "ab" * 32),
        ("--after", "3", "--digest", "ab"),
        ("--after", "-1", "--digest", "ab" * 32),
    ],
)
async def test_a_line_and_its_digest_belong_together(
    cli: Cli, vault: FakeVault, options: tuple[str, ...]
) -> None:
    result = await cli("audit", "verify", *options)
    assert (result.exit_code, vault.requests) == (2, [])
