import io

from rich.console import Console

from replikera.cli.vault_view import render_vault
from tests.unit.replikera.cli.running import squeezed


def rendered(vault: dict[str, object]) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=200).print(render_vault(vault))
    return squeezed(text.getvalue())


def test_whom_a_reconciling_vault_waits_for_is_named() -> None:
    assert "waits for hv1, hv2" in rendered({"hosts_missing": ["hv1", "hv2"]})
    assert not [line for line in rendered({"hosts_missing": []}) if "waits" in line]


def test_the_head_of_the_history_is_shown() -> None:
    lines = rendered({"mode": "serving", "head": {"number": 7, "digest": "ab"}})
    assert lines[-2:] == ["history to line 7", "digest ab"]
    assert "mode serving" in lines


def test_what_is_missing_is_unknown() -> None:
    assert rendered({})[-1] == "digest unknown"
