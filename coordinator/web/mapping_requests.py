"""The bodies and query parameters of requests about mappings."""

from typing import Annotated

from pydantic import Field

from coordinator.domain.hosts import MAX_FOLDER_LENGTH
from coordinator.domain.identifiers import MAX_NAME_LENGTH
from coordinator.web.models import Query, RequestBody, Text


class NetworkMappingRequest(RequestBody):
    """A network of a primary host, and which of a secondary host stands for it."""

    primary_host: Text
    primary_network: Text
    secondary_host: Text
    secondary_network: Text
    test_network: Text | None = None


class NetworkMappingChange(RequestBody):
    """What of a network mapping is to be different; what is not named stays. Null for tests: no network."""

    secondary_network: Text | None = None
    test_network: Text | None = None


class StorageMappingRequest(RequestBody):
    """A storage class of a primary host, and the folder of a secondary host that stands for it.

    The empty class is that of disks without one.
    """

    primary_host: Text
    storage_class: Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
    secondary_host: Text
    folder: Annotated[str, Field(min_length=1, max_length=MAX_FOLDER_LENGTH)]


class PlacementQuery(Query):
    """At which host."""

    target_host: Text = Field(description="The host, by name or id, that would keep the replica.")
