"""Sending a request again whose answer was lost."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from replikera.cli.errors import AnswerLostError, UnreachableError
from replikera.ports.clock import Clock

T = TypeVar("T")
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""A coordinator is back from a restart within seconds; who waits longer wants to know."""


async def until_answered(clock: Clock, attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what `attempt` returns, made again a few times once its answer was lost.

    A vault that could not be reached at all was asked nothing: that is told at once. A silent one has been waited
    for long enough. Raises what the last attempt raises, with the warning that the request may have been done.
    """
    try:
        return await attempt()
    except AnswerLostError as error:
        last: UnreachableError = error
    if last.code != "vault-silent":
        for pause in PAUSES_S:
            await clock.sleep(pause)
            try:
                return await attempt()
            except UnreachableError as error:
                last = error
    raise AnswerLostError(
        last.code,
        last.cause,
        "What was asked may have been done: look before asking again. "
        f"{last.remedy[:1].upper()}{last.remedy[1:]}",
    ) from last
