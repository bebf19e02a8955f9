import importlib.metadata

import pytest
from typer.core import TyperCommand, TyperGroup

from replikera.cli.lazy import installed_version, load


def test_an_application_with_one_verb_is_still_a_group() -> None:
    group = load("replikera.cli.nouns.network:app")
    assert isinstance(group, TyperGroup)
    assert list(group.commands) == ["list"]


def test_a_ready_command_is_taken_as_it_is() -> None:
    assert isinstance(load("replikera.cli.nouns.status:command"), TyperCommand)


def test_a_group_offers_no_completion_options_of_its_own() -> None:
    assert not [p for p in load("replikera.cli.nouns.job:app").params if "completion" in p.name]


def test_a_wrong_source_is_no_silence() -> None:
    with pytest.raises(AttributeError):
        load("replikera.cli.nouns.vm:nothing")


def test_the_version_is_that_of_the_distribution() -> None:
    assert installed_version() == importlib.metadata.version("replikera")
