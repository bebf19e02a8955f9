"""Settings files: TOML into frozen dataclasses; anything unknown is an error with its path."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from replikera.ports.files import Files

T = TypeVar("T")

_MAX_SETTINGS_BYTES = 1 << 20
FORBID_UNKNOWN = ConfigDict(extra="forbid")
"""Value for `__pydantic_config__` of every settings dataclass: an unknown key is an error."""

_ENDPOINT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def _check_endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise ValueError("must be host:port with a port of 1 to 65535, for example 10.0.0.5:7401")
    return text


Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
"""An address to listen on or to dial, "host:port"."""


class SettingsError(ValueError):
    """A settings file cannot be used; the message names the file, each key and what is wrong with it."""


def load_settings(files: Files, path: Path, kind: type[T]) -> T:
    """Return the file's settings as `kind`. Raises `SettingsError`."""
    try:
        document = tomllib.loads(files.read_bytes(path, limit=_MAX_SETTINGS_BYTES).decode())
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file {path}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from error
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(file)'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("\n".join([f"settings file {path} is wrong:", *problems])) from error
