"""Runs one command's requests: ports, profile, client and event loop put together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from replikera.cli.client import VaultClient
from replikera.cli.invocation import Ports, invocation_of
from replikera.cli.profile import default_profile_folder, load_profile
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles

T = TypeVar("T")


def ports_of(context: typer.Context) -> Ports:
    """Return the machine under a command."""
    return invocation_of(context).ports or Ports(SystemFiles(), SystemClock())


def request(context: typer.Context, operation: Callable[[VaultClient], Awaitable[T]]) -> T:
    """Return what `operation` returns, given a client of the vault that the profile names."""
    ports = ports_of(context)
    folder = invocation_of(context).profile_folder or default_profile_folder()
    client = VaultClient(load_profile(ports.files, folder, ports.clock.now()))
    return asyncio.run(_run(client, operation))


def get(context: typer.Context, *path: str) -> dict[str, object]:
    """Return the vault's object at a path, given by its segments."""
    return request(context, lambda client: client.get(*path))


def post(context: typer.Context, *path: str, body: dict[str, object]) -> dict[str, object]:
    """Send an object to a path of the vault and return the answer."""
    return request(context, lambda client: client.post(*path, body=body))


async def _run(client: VaultClient, operation: Callable[[VaultClient], Awaitable[T]]) -> T:
    async with client:
        return await operation(client)
