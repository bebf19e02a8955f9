"""Settings files that are right and wrong: each wrong one names the file, the key and what to do."""

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from typing_extensions import override

from replikera.settings import (
    FORBID_UNKNOWN,
    MAX_SETTINGS_BYTES,
    Endpoint,
    SettingsError,
    load_settings,
)
from replikera.system.files import SystemFiles


@dataclass(frozen=True)
class Inner:
    __pydantic_config__ = FORBID_UNKNOWN
    port: int
    folder: Path = Path("/")
    listen: Endpoint = "localhost:1"
    count: Annotated[int, Field(ge=0)] = 0
    is_loud: bool = False


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = FORBID_UNKNOWN
    inner: Inner
    name: str = "unset"
    level: Literal["low", "high"] = "low"
    other: Inner | None = None
    more: tuple[Inner, ...] = ()


def load(path: Path, text: str) -> Outer:
    path.write_text(text)
    return load_settings(SystemFiles(), path, Outer)


def refusal(path: Path, files: SystemFiles | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(files or SystemFiles(), path, Outer)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_right_file_becomes_the_dataclass(tmp_path: Path) -> None:
    assert load(tmp_path / "s.toml", "name = 'x'\n[inner]\nport = 5\n") == Outer(Inner(5), "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[inner]\nport = 5\nprot = 6\n", "inner.prot: there is no such key: did you mean port?"),
        ("surprise = 1\n[inner]\nport = 1\n", "surprise: there is no such key: remove it. Known here: inner, name"),
        ("[inner]\nport = 5\n[other]\nport = 1\nprt = 2\n", "other.prt: there is no such key: did you mean port?"),
        ("[inner]\nport = 5\n[[more]]\nprt = 2\n", "more.0.prt: there is no such key: did you mean port?"),
        ("name = 'x'\n", "inner: this table is missing: add [inner] and its keys"),
        ("[inner]\n", "inner.port: this key is missing: add it"),
        ("inner = 5\n", "inner: must be a table: write [inner] and its keys below it"),
        ("[inner]\nport = 'five'\n", "inner.port: must be a whole number"),
        ("[inner]\nport = 5.5\n", "inner.port: must be a whole number"),
        ("name = 5\n[inner]\nport = 5\n", "name: must be text: write it in quotes"),
        ("[inner]\nport = 5\nfolder = 5\n", "inner.folder: must be a path: write it in quotes"),
        ("[inner]\nport = 5\nis_loud = 'very'\n", "inner.is_loud: must be true or false"),
        ("level = 'loud'\n[inner]\nport = 5\n", "level: must be 'low' or 'high'"),
        ("[inner]\nport = 5\ncount = -1\n", "inner.count: must be greater than or equal to 0"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    assert said in refusal(path)


@pytest.mark.parametrize(
    "endpoint", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "a b:1", "::1:7"]
)
def test_an_endpoint_that_nobody_can_dial_is_refused_with_an_example(
    tmp_path: Path, endpoint: str
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"[inner]\nport = 5\nlisten = {endpoint!r}\n")
    assert "inner.listen: must be host:port" in refusal(path)
    assert "10.0.0.5:7401" in refusal(path)


@pytest.mark.parametrize("endpoint", ["host.example.net:7401", "10.0.0.5:1", "[::1]:65535"])
def test_an_endpoint_that_is_right_is_taken(tmp_path: Path, endpoint: str) -> None:
    loaded = load(tmp_path / "s.toml", f"[inner]\nport = 5\nlisten = {endpoint!r}\n")
    assert loaded.inner.listen == endpoint


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("colour = 1\nname = 2\n[inner]\nprot = 3\n")
    lines = refusal(path).splitlines()
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == [
        "colour", "inner.port", "inner.prot", "name"
    ]  # fmt: skip


def test_a_value_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("passphrase = 'correct horse'\n[inner]\nport = 'battery staple'\n")
    assert "horse" not in refusal(path)
    assert "staple" not in refusal(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[inner\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1"),
        (b"port = 1\nport = 2\n", "is not TOML: Cannot overwrite a value (at line 2"),
        (b"# comment\nname = '\xff'\n", "no text in UTF-8 (line 2): save it as UTF-8"),
        (b"#" * (MAX_SETTINGS_BYTES + 1), f"larger than {MAX_SETTINGS_BYTES} bytes"),
        (b"name = " + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["no TOML", "key twice", "no UTF-8", "too large", "too deep"],
)
def test_a_file_that_holds_no_settings_is_told(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(data)
    assert said in refusal(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "name one that exists with --settings" in refusal(tmp_path / "none.toml")


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    class ForbiddenFiles(SystemFiles):
        @override
        def read_bytes(self, path: Path, *, limit: int) -> bytes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    said = refusal(tmp_path / "s.toml", ForbiddenFiles())
    assert "cannot be read: Permission denied. Let this user read it" in said


@pytest.mark.skipif(sys.platform == "win32", reason="opens no directories")
def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refusal(tmp_path)
