"""The query parameters of requests about recovery points."""

from pydantic import AwareDatetime, Field

from coordinator.domain.points import PointKind
from coordinator.web.models import ListQuery


class PointQuery(ListQuery):
    """Which points."""

    kind: PointKind | None = Field(default=None, description="Only points of this kind.")
    captured_from: AwareDatetime | None = Field(
        default=None, description="Only points whose capture began then or later."
    )
    captured_until: AwareDatetime | None = Field(
        default=None, description="Only points whose capture began before that."
    )
