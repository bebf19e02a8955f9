"""What this host says first in every conversation with its vault."""

from agent.control.anchor import ControlAnchor
from agent.control.deny_lists import DenyLists
from agent.control.holdings import Holdings
from agent.control.run import Run
from replikera.wire.v1 import session_pb2, types_pb2


class Introduction:
    """Composes Hello anew for each conversation."""

    def __init__(
        self,
        facts: types_pb2.HostFacts,
        run: Run,
        anchor: ControlAnchor,
        deny_lists: DenyLists,
        holdings: Holdings,
    ) -> None:
        self._facts = facts
        self._run = run
        self._anchor = anchor
        self._deny_lists = deny_lists
        self._holdings = holdings

    async def hello(self) -> session_pb2.Hello:
        """Return who this host is, what it obeyed, and what it takes part in."""
        return session_pb2.Hello(
            facts=self._facts,
            control_version=self._anchor.number,
            control_digest=self._anchor.digest,
            start_count=self._run.start_count,
            run_id=self._run.run_id,
            deny_list_version=self._deny_lists.version,
            protections=self._holdings.protections(),
            rehearsals=await self._holdings.rehearsals(),
        )
