"""The query parameters of requests about recovery points."""

from pydantic import AwareDatetime, Field

from coordinator.domain.points import PointKind
from coordinator.web.models import ListQuery, RequestBody


class ExportRequest(RequestBody):
    """Which disk of the point, by its place from 0, and the name of its file."""

    file_name: str = Field(
        description="Without a folder; its ending says how it is written: .vhdx or .raw."
    )
    disk: int = Field(default=0, description="The place of the disk in the machine's list, from 0.")


class NameRequest(RequestBody):
    """The name of the point."""

    name: str = Field(description="Up to 100 printable characters without /.")


class PointQuery(ListQuery):
    """Which points."""

    kind: PointKind | None = Field(default=None, description="Only points of this kind.")
    captured_from: AwareDatetime | None = Field(
        default=None, description="Only points whose capture began then or later."
    )
    captured_until: AwareDatetime | None = Field(
        default=None, description="Only points whose capture began before that."
    )
