"""Resources of storage mappings."""

from http import HTTPStatus

from coordinator.orchestration.storage_mappings import (
    StorageNames,
    create_storage_mapping,
    delete_storage_mapping,
    storage_mapping_detail,
    storage_mapping_statuses,
)
from coordinator.orchestration.vault import Vault
from coordinator.web import mapping_presentation as presentation
from coordinator.web.mapping_answers import (
    DeletionAnswer,
    StorageMappingAnswer,
    StorageMappingDetailAnswer,
)
from coordinator.web.mapping_requests import StorageMappingRequest
from coordinator.web.models import Listing, ListQuery, NoBody, NoQuery, listing
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading


class StorageMappingHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/storage-mappings",
                self.list_storage_mappings,
                "List storage mappings",
                ListQuery,
                Listing[StorageMappingAnswer],
            ),
            changing(
                "/storage-mappings",
                self.create_storage_mapping,
                "Map a storage class of one host to a folder of another",
                StorageMappingRequest,
                StorageMappingDetailAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/storage-mappings/{id}",
                self.get_storage_mapping,
                "A storage mapping with the protections that it concerns",
                NoQuery,
                StorageMappingDetailAnswer,
            ),
            changing(
                "/storage-mappings/{id}/delete",
                self.delete_storage_mapping,
                "Map a storage class no more; replicas stay where they are",
                NoBody,
                DeletionAnswer,
                roles=CONTRIBUTORS,
            ),
        )

    async def list_storage_mappings(
        self, _call: Call, query: ListQuery
    ) -> Listing[StorageMappingAnswer]:
        """Return storage mappings."""
        async with self._vault.store.read() as records:
            page = await records.storage_mappings.page(query.cursor, query.limit)
            found = await storage_mapping_statuses(records, page.items)
        return listing(page, map(presentation.storage_mapping, found))

    async def create_storage_mapping(
        self, call: Call, body: StorageMappingRequest
    ) -> StorageMappingDetailAnswer:
        """Map a storage class of one host to a folder of another."""
        names = StorageNames(
            body.primary_host, body.storage_class, body.secondary_host, body.folder
        )
        made = await create_storage_mapping(self._vault, call.command, names)
        return presentation.storage_mapping_detail(made)

    async def get_storage_mapping(self, call: Call, _query: NoQuery) -> StorageMappingDetailAnswer:
        """Return one storage mapping."""
        async with self._vault.store.read() as records:
            found = await storage_mapping_detail(records, call.path["id"])
        return presentation.storage_mapping_detail(found)

    async def delete_storage_mapping(self, call: Call, _body: NoBody) -> DeletionAnswer:
        """Map a storage class no more."""
        gone = await delete_storage_mapping(self._vault, call.command, call.path["id"])
        return presentation.deletion(gone)
