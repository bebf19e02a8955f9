"""Settings files: TOML into frozen dataclasses; anything unknown is an error with its path."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from replikera.ports.files import Files

T = TypeVar("T")

MAX_SETTINGS_BYTES = 1 << 20
"""A file of every key with its comments has 3 KiB."""

FORBID_UNKNOWN = ConfigDict(extra="forbid")
"""Value for `__pydantic_config__` of every settings dataclass: an unknown key is an error."""

_ENDPOINT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_TYPES = {
    "string_type": 'must be text: write it in quotes, "like this"',
    "path_type": 'must be a path: write it in quotes, "/like/this"',
    "int_type": "must be a whole number, without quotes",
    "int_parsing": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false, without quotes",
}


def _check_endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise ValueError("must be host:port with a port of 1 to 65535, for example 10.0.0.5:7401")
    return text


Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
"""An address to listen on or to dial, "host:port"."""


class SettingsError(ValueError):
    """A settings file cannot be used; the message names the file, each key, what is wrong with it and what to do."""


def load_settings(files: Files, path: Path, kind: type[T]) -> T:
    """Return the file's settings as `kind`. Raises `SettingsError`."""
    try:
        return TypeAdapter(kind).validate_python(_parse(path, _read(files, path)))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = [f"  {_problem(kind, item)}" for item in details]
        raise SettingsError("\n".join([f"settings file {path} is wrong:", *problems])) from error


def _read(files: Files, path: Path) -> bytes:
    try:
        return files.read_bytes(path, limit=MAX_SETTINGS_BYTES)
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no settings file {path}: name one that exists with --settings"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"settings file {path} cannot be read: {error.strerror or error}. "
            "Let this user read it, or name another with --settings."
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"settings file {path} is larger than {MAX_SETTINGS_BYTES} bytes: "
            "name the right one with --settings"
        ) from error


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"settings file {path} is no text in UTF-8 (line {line}): save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"settings file {path} is not TOML: {error}. Correct that line."
        ) from error
    except RecursionError as error:
        raise SettingsError(
            f"settings file {path} is nested too deeply: name the right one with --settings"
        ) from error


def _problem(kind: type[object], item: ErrorDetails) -> str:
    """Return which key is wrong, how, and what to do."""
    *above, key = item["loc"] or ("(file)",)
    return f"{'.'.join(map(str, (*above, key)))}: {_fault(kind, above, str(key), item)}"


def _fault(kind: type[object], above: Sequence[int | str], key: str, item: ErrorDetails) -> str:
    table = _table_at(kind, above)
    path = ".".join(map(str, (*above, key)))
    match item["type"]:
        case "missing" if _table_at(kind, (*above, key)) is not None:
            return f"this table is missing: add [{path}] and its keys"
        case "missing":
            return "this key is missing: add it"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return _unknown(key, [] if table is None else [each.name for each in fields(table)])
        case "dataclass_type":
            return f"must be a table: write [{path}] and its keys below it"
        case kind_of_error if kind_of_error in _TYPES:
            return _TYPES[kind_of_error]
        case _:
            said = item["msg"].removeprefix("Value error, ")
            return said.replace("Input should be", "must be", 1)


def _unknown(key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, n=1)
    if close:
        return f"there is no such key: did you mean {close[0]}?"
    return f"there is no such key: remove it. Known here: {', '.join(known) or 'none'}"


def _table_at(kind: type[object], path: Sequence[int | str]) -> type[Any] | None:
    """Return the dataclass of the table at `path`, None where there is none."""
    found: Any = kind
    for key in path:
        if isinstance(key, int):  # One of a list of tables.
            continue
        hints = get_type_hints(found)
        found = next((each for each in _choices(hints.get(key)) if is_dataclass(each)), None)
        if found is None:
            return None
    return found if isinstance(found, type) else None


def _choices(hint: object) -> tuple[object, ...]:
    """Return the alternatives of an optional type, or the type alone."""
    return get_args(hint) or (hint,)
