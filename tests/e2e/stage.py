"""What the acts of a round have to do with."""

import random
from dataclasses import dataclass

from replikera.lab.line import Line
from replikera.lab.machine import Machine
from tests.e2e.lag_watch import LagWatch
from tests.e2e.misfortunes import Misfortunes
from tests.e2e.online import OnlineComparison
from tests.e2e.rest import Rest
from tests.e2e.vault_operator import VaultOperator


@dataclass
class Stage:
    """One running line with everything that acts on it."""

    machine: Machine
    line: Line
    rest: Rest
    operator: VaultOperator
    misfortunes: Misfortunes
    comparison: OnlineComparison
    lag: LagWatch
    chance: random.Random
    problems: list[str]

    async def goes_on(self) -> None:
        """Return once two new points have come."""
        await self.operator.until_points(2)
