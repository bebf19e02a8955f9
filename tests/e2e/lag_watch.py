"""Whether the lag that the vault reports is ever better than the real one, while nothing can be sealed."""

from typing import Any

from replikera.lab.machine import Machine
from tests.e2e.rest import RefusedRequestError, Rest

_LOOK_S = 0.25
_GONE = "unknown-protection"


class LagWatch:
    """Asks for one protection again and again."""

    def __init__(self, machine: Machine, rest: Rest, name: str) -> None:
        self._machine = machine
        self._rest = rest
        self._path = f"/protections/{name}"
        self.looks = 0
        self.problems: list[str] = []

    async def watch(self, stopped_at: float, seconds: float) -> None:
        """Watch for that long; a view can have been frozen before `stopped_at` only, on the monotonic clock.

        A protection that is disabled meanwhile has no lag any more: the watch ends.
        """
        clock = self._machine.clock
        end = clock.monotonic() + seconds
        while clock.monotonic() < end:
            asked_at = clock.monotonic()
            try:
                shown = await self._rest.get(self._path)
            except RefusedRequestError as refusal:
                if _GONE in str(refusal):
                    return
                raise
            self._judge(shown, asked_at - stopped_at)
            await clock.sleep(_LOOK_S)

    def _judge(self, shown: dict[str, Any], real: float) -> None:
        self.looks += 1
        lag = shown["lag_seconds"]
        if lag is not None and lag < real:
            self.problems.append(
                f"a lag of {lag:.2f} s was reported {real:.2f} s after a peer was stopped"
            )
