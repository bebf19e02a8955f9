"""What the vault has for one connected host, sent as soon as it is in the store and the host is to have it.

It comes from the store alone: an order without an outcome is sent once a session, oldest first, so nothing that was
decided can be lost, and a repeated order is the host's to recognise. A vault that reconciles sends its deny-list, which
proves itself, and nothing else.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NoReturn

from coordinator.domain.hello import HostHello
from coordinator.domain.identifiers import OrderId, ProtectionId
from coordinator.domain.orders import AcceptReplica, Order, StartReplication
from coordinator.domain.protections import Protection
from coordinator.orchestration.grants import signed_grant
from coordinator.orchestration.presence import HostSession
from coordinator.orchestration.trust import current_deny_list
from coordinator.orchestration.vault import Vault
from coordinator.rpc import messages
from coordinator.store.history import Anchor

Write = Callable[[messages.Answer], Awaitable[None]]


class Delivery:
    """Looks for what there is to send whenever the session is woken."""

    def __init__(self, vault: Vault, session: HostSession, hello: HostHello, write: Write) -> None:
        self._vault = vault
        self._session = session
        self._write = write
        self._deny_list_version = hello.deny_list_version
        self._grants = {
            held.protection_id: held.grant_version for held in hello.held if held.is_source
        }
        self._orders: set[tuple[OrderId, bool]] = set()

    async def run(self) -> NoReturn:
        """Deliver until cancelled. Raises `StoreError`, and whatever writing raises."""
        while True:
            await self._session.work_waiting.wait()
            self._session.work_waiting.clear()
            await self._send_deny_list()
            if not self._vault.reconciliation.is_reconciling:
                await self._send_decisions()

    async def _send_deny_list(self) -> None:
        version = self._vault.deny_lists.version
        if self._vault.reconciliation.wants_deny_list(self._session.host_id):
            # The host's own may say what this vault has forgotten: it shows it first, and then gets both in one.
            return
        if version > self._deny_list_version:
            self._deny_list_version = version
            await self._write(messages.deny_list(current_deny_list(self._vault)))

    async def _send_decisions(self) -> None:
        host_id = self._session.host_id
        async with self._vault.store.read() as records:
            orders = await records.open_orders(host_id)
            anchor = await records.head() if orders else None
            protections = {item.id: item for item in await records.protections_of(host_id)}
        await self._send_grants(protections.values())
        if anchor is None:
            self._orders.clear()
        else:
            await self._send_orders(orders, anchor, protections)

    async def _send_grants(self, protections: Iterable[Protection]) -> None:
        for protection in protections:
            if self._vault.reconciliation.is_reconciling:
                return
            is_source = protection.source_host_id == self._session.host_id
            if is_source and protection.has_begun and self._is_new(protection):
                await self._write(messages.grant(protection.id, self._signed_grant(protection)))

    async def _send_orders(
        self,
        orders: Iterable[Order],
        anchor: Anchor,
        protections: Mapping[ProtectionId, Protection],
    ) -> None:
        waiting = {(order.id, order.withdrawn_at is not None): order for order in orders}
        for key, order in waiting.items():
            if self._vault.reconciliation.is_reconciling:
                return  # it may have begun while the host was slow to read
            if key not in self._orders:
                grant = self._grant_of(order, protections)
                await self._write(messages.order_answer(order, anchor, grant))
        # What has an outcome is not looked for again: the set is as small as what is open.
        self._orders = set(waiting)

    def _grant_of(self, order: Order, protections: Mapping[ProtectionId, Protection]) -> bytes:
        """Return the grant that goes with an order, empty where none does."""
        match order.action:
            case AcceptReplica(protection_id=protection_id):
                protection = protections.get(protection_id)
                return signed_grant(self._vault, protection) if protection is not None else b""
            case StartReplication(protection_id=protection_id):
                protection = protections.get(protection_id)
                return self._signed_grant(protection) if protection is not None else b""
            case _:
                return b""

    def _is_new(self, protection: Protection) -> bool:
        has_one = protection.grant_not_after is not None
        return has_one and protection.grant_version > self._grants.get(protection.id, 0)

    def _signed_grant(self, protection: Protection) -> bytes:
        """Return the protection's grant, which its source has from now on."""
        self._grants[protection.id] = protection.grant_version
        return signed_grant(self._vault, protection)
