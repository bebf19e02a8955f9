"""The resource that tells where a machine would go."""

from coordinator.orchestration.placement import placement_of
from coordinator.orchestration.vault import Vault
from coordinator.web import mapping_presentation as presentation
from coordinator.web.mapping_answers import PlacementAnswer
from coordinator.web.mapping_requests import PlacementQuery
from coordinator.web.table import Call, Route, reading


class PlacementHandlers:
    """Handlers of this resource."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of this resource."""
        return (
            reading(
                "/machines/{name}/placement",
                self.get_placement,
                "Where a machine's replica and adapters would go at a host",
                PlacementQuery,
                PlacementAnswer,
            ),
        )

    async def get_placement(self, call: Call, query: PlacementQuery) -> PlacementAnswer:
        """Return where a machine would go."""
        async with self._vault.store.read() as records:
            found = await placement_of(records, call.path["name"], query.target_host)
        return presentation.placement(found)
