"""The examples are settings that the daemons take, and leave no key out."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from agent.config import AgentSettings, load_agent_settings
from coordinator.config import CoordinatorSettings
from replikera.settings import load_settings
from replikera.system.files import SystemFiles

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
FILES = SystemFiles()


def coordinator() -> CoordinatorSettings:
    return load_settings(FILES, EXAMPLES / "coordinator.toml", CoordinatorSettings)


def agent(site: str) -> AgentSettings:
    return load_agent_settings(FILES, EXAMPLES / f"agent-{site}.toml")


def keys_of(kind: Any) -> Iterator[str]:
    """Yield the path of every key that settings of this kind may have."""
    hints = get_type_hints(kind)
    for each in fields(kind):
        hint = hints[each.name]
        tables = [choice for choice in get_args(hint) or (hint,) if is_dataclass(choice)]
        if not tables:
            yield each.name
        for table in tables:
            yield from (f"{each.name}.{key}" for key in keys_of(table))


def keys_in(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from (f"{key}.{below}" for below in keys_in(value))
        else:
            yield key


def shown(*names: str) -> set[str]:
    texts = [(EXAMPLES / f"{name}.toml").read_text() for name in names]
    return {key for text in texts for key in keys_in(tomllib.loads(text))}


def test_every_example_is_one_that_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {
        "coordinator.toml",
        "agent-primary.toml",
        "agent-secondary.toml",
    }


def test_the_coordinators_example_is_taken_and_shows_every_key() -> None:
    settings = coordinator()
    assert shown("coordinator") == set(keys_of(CoordinatorSettings))
    assert settings.vault.passphrase_file is not None
    assert settings.vault.state_directory not in settings.vault.passphrase_file.parents


def test_the_agents_examples_are_taken_and_show_every_key() -> None:
    for site, name in (("primary", "host-a1"), ("secondary", "host-b1")):
        settings = agent(site)
        assert (settings.agent.host_name, settings.agent.cloud) == (name, "gold")
        assert settings.replication.address == f"{name}.example.net:7404"
    assert shown("agent-primary", "agent-secondary") == set(keys_of(AgentSettings))


def test_what_is_left_out_is_the_default_that_the_other_example_shows() -> None:
    primary, secondary = agent("primary"), agent("secondary")
    assert secondary.log_level == primary.log_level == "info"
    assert secondary.hypervisor == primary.hypervisor
    assert secondary.source == primary.source
    assert primary.folders.replicas == secondary.folders.replicas
    assert primary.folders.exports == secondary.folders.exports


@pytest.mark.parametrize("name", ["coordinator", "agent-primary"])
def test_every_key_is_explained_above_it_or_above_its_table(name: str) -> None:
    lines = (EXAMPLES / f"{name}.toml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith(("#", "[")):
            above = [each for each in lines[max(0, number - 2) : number] if each]
            assert any(each.startswith(("#", "[")) for each in above), line


@dataclass
class SomeTable:
    known: int
    forgotten: int = 0


@dataclass
class SomeSettings:
    table: SomeTable
    maybe: SomeTable | None = None


def test_a_key_that_no_example_names_would_be_found() -> None:
    assert set(keys_of(SomeSettings)) == {
        "table.known",
        "table.forgotten",
        "maybe.known",
        "maybe.forgotten",
    }
