"""Runs one command's requests: ports, profile, client and event loop put together."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import typer

from replikera.cli.client import VaultClient
from replikera.cli.invocation import Ports, invocation_of
from replikera.cli.output import output_of
from replikera.cli.profile import Profile, concerns, default_profile_folder, load_profile
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness

T = TypeVar("T")


def ports_of(context: typer.Context) -> Ports:
    """Return the machine under a command."""
    given = invocation_of(context).ports
    return given or Ports(SystemFiles(), SystemClock(), SystemRandomness(), SystemProcesses())


def request(context: typer.Context, operation: Callable[[VaultClient], Awaitable[T]]) -> T:
    """Return what `operation` returns, given a client of the vault that the profile names."""
    client = VaultClient(profile_of(context), ports_of(context))
    return asyncio.run(_run(client, operation))


def profile_of(context: typer.Context) -> Profile:
    """Return the operator's profile, after a word about what is not well with it. Raises `ProfileError`."""
    ports = ports_of(context)
    now = ports.clock.now()
    profile = load_profile(ports.files, _folder(context), now)
    for concern in concerns(ports.files, profile, now):
        output_of(context).warning(concern)
    return profile


def get(context: typer.Context, *path: str) -> dict[str, object]:
    """Return the vault's object at a path, given by its segments."""
    return request(context, lambda client: client.get(*path))


def post(context: typer.Context, *path: str, body: dict[str, object]) -> dict[str, object]:
    """Send an object to a path of the vault and return the answer."""
    return request(context, lambda client: client.post(*path, body=body))


def _folder(context: typer.Context) -> Path:
    return invocation_of(context).profile_folder or default_profile_folder()


async def _run(client: VaultClient, operation: Callable[[VaultClient], Awaitable[T]]) -> T:
    async with client:
        return await operation(client)
