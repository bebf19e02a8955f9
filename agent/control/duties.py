"""What this host does at the vault's word, message by message."""

from collections.abc import Awaitable, Callable

import structlog

from agent.control.anchor import ControlAnchor
from agent.control.conversation import (
    CarryOut,
    Deed,
    ForgetOutcome,
    Leave,
    Obey,
    PresentGrant,
    ShowDenyList,
    StoreDenyList,
    Withdraw,
)
from agent.control.deny_lists import DenyLists
from agent.control.orders import Orders
from agent.grants import GrantRefusedError
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2, trust_pb2

TakeGrant = Callable[[str, bytes], Awaitable[None]]

log = structlog.get_logger(__name__)


class Duties:
    """Each deed is durable before it is answered, and the control state before its order is acted upon."""

    def __init__(
        self, anchor: ControlAnchor, orders: Orders, deny_lists: DenyLists, take_grant: TakeGrant
    ) -> None:
        self._anchor = anchor
        self._orders = orders
        self._deny_lists = deny_lists
        self._take_grant = take_grant

    async def do(self, deed: Deed | None) -> session_pb2.SessionRequest | None:
        """Return what is to be answered. Raises `VaultNotObeyedError`, `StreamClosedError` and `OSError`."""
        match deed:
            case Obey(number, digest):
                await self._anchor.raise_to(number, digest)
            case CarryOut(order):
                await self._anchor.raise_to(order.control_version, order.control_digest)
                self._orders.submit(order)
            case Withdraw(order_id):
                await self._orders.withdraw(order_id)
            case ForgetOutcome(order_id):
                await self._orders.accepted(order_id)
            case StoreDenyList(signed):
                return await self._store_deny_list(signed)
            case ShowDenyList():
                return self._show_deny_list()
            case PresentGrant(protection_id, signed):
                await self._note_grant(protection_id, signed)
            case Leave():
                raise StreamClosedError("the vault asks its hosts to dial again")
            case None:
                pass
        return None

    async def _store_deny_list(self, signed: bytes) -> session_pb2.SessionRequest | None:
        version = await self._deny_lists.store(signed)
        if version is None:
            return None
        stored = session_pb2.DenyListStored(version=version)
        return session_pb2.SessionRequest(deny_list_stored=stored)

    def _show_deny_list(self) -> session_pb2.SessionRequest | None:
        if not self._deny_lists.signed:
            return None
        signed = trust_pb2.Signed.FromString(self._deny_lists.signed)
        return session_pb2.SessionRequest(deny_list=signed)

    async def _note_grant(self, protection_id: str, signed: bytes) -> None:
        try:
            await self._take_grant(protection_id, signed)
        except GrantRefusedError as error:
            log.warning("grant not taken", protection=protection_id, cause=error.cause)
