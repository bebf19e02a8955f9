"""What the vault knows of itself: whether it serves, and the version of what it has told its hosts."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate


class VaultMode(StrEnum):
    """What the vault does."""

    SERVING = "serving"
    RECONCILING = "reconciling"
    """Restored from an older copy: it asks its hosts what they know, and sends no order until it has caught up."""


@dataclass(frozen=True, slots=True)
class Control(Aggregate):
    """The one row of it; `id` is the vault's. `deny_list_version` rises with every change of the deny-list.

    `reconciled_number` is the line of the history that tells of the last reconciliation, 0 where there was none: what
    hosts remember of lines before it may be of a history that was lost.
    """

    id: str
    mode: VaultMode
    mode_since: datetime
    deny_list_version: int = 0
    reconciled_number: int = 0

    @property
    def is_reconciling(self) -> bool:
        """Tell whether the vault catches up with what its hosts know."""
        return self.mode is VaultMode.RECONCILING

    def deny_list_changed(self) -> "Control":
        """Return the control row with the version of another deny-list."""
        return replace(self, deny_list_version=self.deny_list_version + 1)
