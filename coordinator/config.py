"""The coordinator's settings file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from replikera.settings import FORBID_UNKNOWN, Endpoint


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """`[vault]`: where the vault is kept.

    state_directory: folder of database, certificates and keys; only the coordinator's user may read it.
    passphrase_file: holds the passphrase of the authority's keys. Without it the file `passphrase` in
        state_directory is used; put it elsewhere, so that a copy of the folder alone signs nothing.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    state_directory: Path
    passphrase_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """`[enrolment]`, `[session]`, `[api]`: one listener each.

    listen: address and port of this machine to listen on.
    address: how others reach it; told to hosts and operators, so it must stay the same.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    listen: Endpoint
    address: Endpoint


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """The whole file. log_level: "debug", "info" (default) or "warning"."""

    __pydantic_config__ = FORBID_UNKNOWN

    vault: VaultSettings
    enrolment: ListenerSettings
    session: ListenerSettings
    api: ListenerSettings
    log_level: Literal["debug", "info", "warning"] = "info"
