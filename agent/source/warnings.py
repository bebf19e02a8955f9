"""What an operator should know although replication goes on: one thing of a kind, the newest is shown."""

from agent.source.status import Failure


class Warnings:
    """Of one protection; forgotten with the process, because what matters comes again."""

    def __init__(self) -> None:
        self._known: dict[str, Failure] = {}

    @property
    def newest(self) -> Failure | None:
        """Return the one that came last of those that still hold."""
        return next(reversed(self._known.values()), None)

    def put(self, warning: Failure) -> None:
        """Show this one; it takes the place of an older one of its code."""
        self._known.pop(warning.code, None)
        self._known[warning.code] = warning

    def clear(self, *codes: str) -> None:
        """Show these no longer."""
        for code in codes:
            self._known.pop(code, None)
