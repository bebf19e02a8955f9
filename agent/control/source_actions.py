"""What the vault may ask of the protections whose machines run here."""

from agent.control.backlog import Backlog
from agent.control.handlers import SourceActions
from agent.source.replicators import Replicators


def source_actions(replicators: Replicators, backlog: Backlog) -> SourceActions:
    """Return the actions; what has ended is not reported any more."""

    async def stop(protection_id: str) -> None:
        await replicators.stop(protection_id)
        backlog.forget_replication(protection_id)

    return SourceActions(
        start=replicators.start,
        resync=replicators.resync,
        verify=replicators.verify,
        name_point=replicators.name_point,
        stop=stop,
    )
