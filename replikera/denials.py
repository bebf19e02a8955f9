"""Who is not believed although the certificate is valid: the newest deny-list, asked before and during every call."""

import asyncio
from collections.abc import Callable

from replikera.identity import Caller, Role, serial_text, uri_name
from replikera.trust.deny_list import DenyList


class Denials:
    """What the newest deny-list says. Denies nobody before the first one. Lives on the event loop."""

    def __init__(self) -> None:
        self._version = 0
        self._serials: frozenset[int] = frozenset()
        self._identities: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    @property
    def version(self) -> int:
        """Return the version of the list, 0 before the first one."""
        return self._version

    def update(self, deny_list: DenyList) -> None:
        """Obey this list from now on; one that is older than the present one changes nothing."""
        if deny_list.version < self._version:
            return
        self._version = deny_list.version
        self._serials = frozenset(denied.serial for denied in deny_list.certificates)
        self._identities = deny_list.identities
        self._changed.set()
        self._changed = asyncio.Event()

    def refusal(self, caller: Caller) -> str | None:
        """Return why a caller is not to be believed, None if it is."""
        if caller.serial in self._serials:
            return (
                f"the vault has denied the certificate {serial_text(caller.serial)} of {caller.uri}"
            )
        return self.identity_refusal(caller.role, caller.name, caller.vault_id)

    def identity_refusal(self, role: Role, name: str, vault_id: str) -> str | None:
        """Return why nobody of this identity is to be believed, None if one may be."""
        identity = uri_name(role, name, vault_id)
        return f"the vault has denied {identity}" if identity in self._identities else None

    async def denied(self, caller: Caller) -> str:
        """Return why the caller is not to be believed, as soon as it is not."""
        return await self._until(lambda: self.refusal(caller))

    async def identity_denied(self, role: Role, name: str, vault_id: str) -> str:
        """Return why nobody of this identity is to be believed, as soon as that is so."""
        return await self._until(lambda: self.identity_refusal(role, name, vault_id))

    async def _until(self, refusal: Callable[[], str | None]) -> str:
        while (why := refusal()) is None:
            await self._changed.wait()
        return why
