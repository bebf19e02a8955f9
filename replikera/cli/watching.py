"""Looking at something once, or with `--watch` again and again."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import typer

from replikera.cli.client import VaultClient
from replikera.cli.connection import ports_of, request
from replikera.cli.errors import UnreachableError
from replikera.cli.invocation import invocation_of
from replikera.cli.output import Output, output_of
from replikera.ports.clock import Clock

T = TypeVar("T")


def view(
    context: typer.Context,
    fetch: Callable[[VaultClient], Awaitable[T]],
    present: Callable[[T], None],
) -> None:
    """Present what `fetch` returns: once, or until Ctrl-C."""
    pause = invocation_of(context).watch_seconds
    if pause is None:
        present(request(context, fetch))
        return
    watcher = Watcher(ports_of(context).clock, output_of(context), pause)
    request(context, lambda client: watcher.watch(lambda: fetch(client), present))


class Watcher:
    """Looks again and again; a vault that is away meanwhile is waited for."""

    def __init__(self, clock: Clock, output: Output, pause_s: float) -> None:
        self._clock = clock
        self._output = output
        self._pause_s = pause_s
        self._is_away = False

    async def watch(
        self, fetch: Callable[[], Awaitable[T]], present: Callable[[T], None]
    ) -> NoReturn:
        """Present what `fetch` returns until cancelled. Raises what the first look raises, and refusals at any time."""
        found = await fetch()
        self._show(found, present, is_first=True)
        while True:
            await self._clock.sleep(self._pause_s)
            try:
                found = await fetch()
            except UnreachableError as error:
                self._tell_away(error)
                continue
            self._is_away = False
            self._show(found, present, is_first=False)

    def _show(self, found: T, present: Callable[[T], None], *, is_first: bool) -> None:
        self._output.begin_look(is_first=is_first)
        present(found)

    def _tell_away(self, error: UnreachableError) -> None:
        # What stands on the screen is old from here on.
        if not self._is_away:
            self._output.message(f"{error.cause}. Trying again.")
        self._is_away = True
