"""What befalls the daemons of one line and the link between its agents, at random moments."""

import os
import random
import signal

from replikera.lab.line import COORDINATOR, Line, agent_name
from replikera.lab.machine import Machine
from tests.e2e.lag_watch import LagWatch
from tests.e2e.unkind_link import Mood, UnkindLink

_MOODS = (Mood.SLOW, Mood.HOLDING, Mood.REFUSING, Mood.REPEATING)
_PAUSES = (0.0, 0.3, 1.5)
"""How long a killed daemon stays away."""

_STOPS = (0.5, 2.0, 4.0)
_MOOD_S = (0.3, 3.0)


class Misfortunes:
    """Kills, stops and continues daemons; cuts and spoils the link. `told` has a line for each."""

    def __init__(
        self,
        machine: Machine,
        line: Line,
        link: UnkindLink,
        lag: LagWatch,
        chance: random.Random,
    ) -> None:
        self._machine = machine
        self._line = line
        self._link = link
        self._lag = lag
        self._chance = chance
        self._source = agent_name(line.folder.primary)
        self._target = agent_name(line.folder.secondary)
        self.told: list[str] = []

    async def strike(self, phase: str, *, within: float) -> None:
        """Let one misfortune happen at some moment of the next `within` seconds; all is well again afterwards."""
        await self._machine.clock.sleep(self._chance.uniform(0, within))
        kinds = (self.kill, self.kill, self.kill, self.stop, self.cut, self.spoil)
        await self._chance.choice(kinds)(phase)

    async def kill(self, phase: str) -> None:
        """Kill a daemon as a power cut would, and start it again soon."""
        name = self._chance.choice((COORDINATOR, self._source, self._target))
        self.told.append(f"{phase}: kill {name}")
        await self._line.daemons.kill(name)
        await self._machine.clock.sleep(self._chance.choice(_PAUSES))
        self._line.daemons.restart(name)
        await self._line.wait_until_ready(name)

    async def stop(self, phase: str) -> None:
        """Let an agent hang for some seconds, and look at the lag that is told of it meanwhile."""
        name = self._chance.choice((self._source, self._target))
        seconds = self._chance.choice(_STOPS)
        self.told.append(f"{phase}: stop {name} {seconds:g} s")
        process_id = self._line.daemons.process_id(name)
        os.kill(process_id, signal.SIGSTOP)
        try:
            await self._lag.watch(self._machine.clock.monotonic(), seconds)
        finally:
            os.kill(process_id, signal.SIGCONT)

    async def cut(self, phase: str) -> None:
        """Reset all connections between the agents."""
        self.told.append(f"{phase}: cut")
        await self._link.cut()

    async def spoil(self, phase: str) -> None:
        """Let the link be slow, silent, refusing or repeating for a while, for new connections too."""
        mood = self._chance.choice(_MOODS)
        seconds = self._chance.uniform(*_MOOD_S)
        self.told.append(f"{phase}: {mood.name.lower()} {seconds:.1f} s")
        self._link.turn(mood)
        if self._chance.random() < 0.5:
            await self._link.cut()
        await self._machine.clock.sleep(seconds)
        self._link.turn(Mood.KIND)
