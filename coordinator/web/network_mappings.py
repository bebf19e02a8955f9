"""Resources of network mappings."""

from http import HTTPStatus

from coordinator.orchestration.network_mappings import (
    NetworkChange,
    NetworkNames,
    change_mapping,
    create_mapping,
    delete_mapping,
    mapping_detail,
    mapping_statuses,
)
from coordinator.orchestration.vault import Vault
from coordinator.web import mapping_presentation as presentation
from coordinator.web.mapping_answers import (
    DeletionAnswer,
    NetworkMappingAnswer,
    NetworkMappingDetailAnswer,
)
from coordinator.web.mapping_requests import NetworkMappingChange, NetworkMappingRequest
from coordinator.web.models import Listing, ListQuery, NoBody, NoQuery, listing
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading


class NetworkMappingHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/network-mappings",
                self.list_network_mappings,
                "List network mappings",
                ListQuery,
                Listing[NetworkMappingAnswer],
            ),
            changing(
                "/network-mappings",
                self.create_network_mapping,
                "Map a network of one host to one of another",
                NetworkMappingRequest,
                NetworkMappingDetailAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/network-mappings/{id}",
                self.get_network_mapping,
                "A network mapping with the protections that it concerns",
                NoQuery,
                NetworkMappingDetailAnswer,
            ),
            changing(
                "/network-mappings/{id}/update",
                self.update_network_mapping,
                "Map a network to another one, or give it another network for tests",
                NetworkMappingChange,
                NetworkMappingDetailAnswer,
                roles=CONTRIBUTORS,
            ),
            changing(
                "/network-mappings/{id}/delete",
                self.delete_network_mapping,
                "Map a network no more",
                NoBody,
                DeletionAnswer,
                roles=CONTRIBUTORS,
            ),
        )

    async def list_network_mappings(
        self, _call: Call, query: ListQuery
    ) -> Listing[NetworkMappingAnswer]:
        """Return network mappings."""
        async with self._vault.store.read() as records:
            page = await records.mappings.page(query.cursor, query.limit)
            found = await mapping_statuses(records, page.items)
        return listing(page, map(presentation.network_mapping, found))

    async def create_network_mapping(
        self, call: Call, body: NetworkMappingRequest
    ) -> NetworkMappingDetailAnswer:
        """Map a network of one host to one of another."""
        names = NetworkNames(
            body.primary_host,
            body.primary_network,
            body.secondary_host,
            body.secondary_network,
            body.test_network,
        )
        made = await create_mapping(self._vault, call.command, names)
        return presentation.network_mapping_detail(made)

    async def get_network_mapping(self, call: Call, _query: NoQuery) -> NetworkMappingDetailAnswer:
        """Return one network mapping."""
        async with self._vault.store.read() as records:
            found = await mapping_detail(records, call.path["id"])
        return presentation.network_mapping_detail(found)

    async def update_network_mapping(
        self, call: Call, body: NetworkMappingChange
    ) -> NetworkMappingDetailAnswer:
        """Map a network to another one."""
        wanted = NetworkChange(
            body.secondary_network, body.test_network, "test_network" in body.model_fields_set
        )
        made = await change_mapping(self._vault, call.command, call.path["id"], wanted)
        return presentation.network_mapping_detail(made)

    async def delete_network_mapping(self, call: Call, _body: NoBody) -> DeletionAnswer:
        """Map a network no more."""
        gone = await delete_mapping(self._vault, call.command, call.path["id"])
        return presentation.deletion(gone)
