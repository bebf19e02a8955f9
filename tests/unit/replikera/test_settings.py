"""Settings files that are right and wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ConfigDict

from replikera.settings import SettingsError, load_settings
from replikera.system.files import SystemFiles


@dataclass(frozen=True)
class Inner:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    port: int


@dataclass(frozen=True)
class Outer:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    inner: Inner
    name: str = "unset"


def load(path: Path, text: str) -> Outer:
    path.write_text(text)
    return load_settings(SystemFiles(), path, Outer)


def test_a_right_file_becomes_the_dataclass(tmp_path: Path) -> None:
    assert load(tmp_path / "s.toml", "name = 'x'\n[inner]\nport = 5\n") == Outer(Inner(5), "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[inner]\nport = 5\nprot = 6\n", "inner.prot"),
        ("[inner]\nport = 'five'\n", "inner.port"),
        ("name = 'x'\n", "inner"),
        ("[inner\n", "cannot be read"),
        ("surprise = 1\n[inner]\nport = 1\n", "surprise"),
    ],
)
def test_a_wrong_file_is_refused_with_the_keys_path(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "s.toml", text)
    assert said in str(caught.value)
    assert "s.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no settings file"):
        load_settings(SystemFiles(), tmp_path / "none.toml", Outer)
