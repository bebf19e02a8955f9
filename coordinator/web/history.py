"""Resources of the history: events for everybody, the audit log for who may see who did what."""

from coordinator.orchestration.vault import Vault
from coordinator.web import presentation
from coordinator.web.answers import AuditAnswer, EventAnswer
from coordinator.web.models import Listing, listing
from coordinator.web.requests import AuditQuery, EventQuery
from coordinator.web.table import AUDITORS, Call, Route, reading


class HistoryHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/events",
                self.list_events,
                "List what happened, newest first",
                EventQuery,
                Listing[EventAnswer],
            ),
            reading(
                "/audit",
                self.list_audit,
                "List who did what, oldest first",
                AuditQuery,
                Listing[AuditAnswer],
                roles=AUDITORS,
            ),
        )

    async def list_events(self, _call: Call, query: EventQuery) -> Listing[EventAnswer]:
        """Return what happened."""
        async with self._vault.store.read() as records:
            page = await records.history.page(
                query.cursor,
                query.limit,
                kind=query.kind,
                subject=query.subject,
                after=query.after,
            )
        return listing(page, map(presentation.event, page.items))

    async def list_audit(self, _call: Call, query: AuditQuery) -> Listing[AuditAnswer]:
        """Return who did what, in the order of the chain."""
        async with self._vault.store.read() as records:
            page = await records.history.page(
                query.cursor, query.limit, kind=None, subject=None, after=query.after
            )
        return listing(page, map(presentation.audit_line, page.items))
