"""Resources of hosts: invitations and keys, and what is done with the trust in a host."""

from datetime import timedelta
from http import HTTPStatus

from coordinator.domain.hosts import Host
from coordinator.orchestration import trust
from coordinator.orchestration.invitations import invite_host, readmit_host
from coordinator.orchestration.status import host_status
from coordinator.orchestration.vault import Vault
from coordinator.web import presentation
from coordinator.web.answers import (
    HostAnswer,
    HostDetailAnswer,
    InvitationAnswer,
    RegistrationKeyAnswer,
)
from coordinator.web.models import Listing, ListQuery, NoBody, NoQuery, listing
from coordinator.web.requests import HostInvitationRequest, ReadmissionRequest, ReasonRequest
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading
from replikera.identity import Role


class HostHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            changing(
                "/host-invitations",
                self.invite_host,
                "Invite a new host to a site",
                HostInvitationRequest,
                InvitationAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/registration-keys",
                self.list_registration_keys,
                "List registration keys, newest first",
                ListQuery,
                Listing[RegistrationKeyAnswer],
            ),
            changing(
                "/registration-keys/{id}/revoke",
                self.revoke_registration_key,
                "Make a registration key useless",
                NoBody,
                RegistrationKeyAnswer,
                roles=CONTRIBUTORS,
            ),
            reading("/hosts", self.list_hosts, "List hosts", ListQuery, Listing[HostAnswer]),
            reading(
                "/hosts/{name}",
                self.get_host,
                "A host with its certificates",
                NoQuery,
                HostDetailAnswer,
            ),
            changing(
                "/hosts/{name}/retire",
                self.retire_host,
                "Let a host go for good; its name is free again",
                ReasonRequest,
                HostAnswer,
                roles=CONTRIBUTORS,
            ),
            changing(
                "/hosts/{name}/revoke",
                self.revoke_host,
                "Withdraw the trust in a host, at once",
                ReasonRequest,
                HostAnswer,
                roles=CONTRIBUTORS,
                is_open_while_reconciling=True,
            ),
            changing(
                "/hosts/{name}/readmit",
                self.readmit_host,
                "Invite a host that is quarantined, revoked or has an expired certificate",
                ReadmissionRequest,
                InvitationAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
        )

    async def list_hosts(self, _call: Call, query: ListQuery) -> Listing[HostAnswer]:
        """Return hosts by name."""
        async with self._vault.store.read() as records:
            page = await records.hosts.page(query.cursor, query.limit)
        return listing(page, map(self._host, page.items))

    async def get_host(self, call: Call, _query: NoQuery) -> HostDetailAnswer:
        """Return one host with its certificates."""
        async with self._vault.store.read() as records:
            host = await records.hosts.get(call.path["name"])
            certificates = await records.certificates_of(Role.HOST, host.id)
        return presentation.host_detail(host_status(self._vault, host), certificates)

    async def invite_host(self, call: Call, body: HostInvitationRequest) -> InvitationAnswer:
        """Make a registration key for a new host."""
        life = _life(body.valid_for_seconds)
        made = await invite_host(self._vault, call.command, body.site, life)
        return presentation.invitation(made)

    async def retire_host(self, call: Call, body: ReasonRequest) -> HostAnswer:
        """Let a host go for good."""
        name = call.path["name"]
        return self._host(await trust.retire_host(self._vault, call.command, name, body.reason))

    async def revoke_host(self, call: Call, body: ReasonRequest) -> HostAnswer:
        """Withdraw the trust in a host."""
        name = call.path["name"]
        return self._host(await trust.revoke_host(self._vault, call.command, name, body.reason))

    async def readmit_host(self, call: Call, body: ReadmissionRequest) -> InvitationAnswer:
        """Make a registration key for a host that is known already."""
        life = _life(body.valid_for_seconds)
        name = call.path["name"]
        made = await readmit_host(self._vault, call.command, name, body.reason, life)
        async with self._vault.store.read() as records:
            host = await records.hosts.get(call.path["name"])
        return presentation.invitation(made, host.name)

    async def list_registration_keys(
        self, _call: Call, query: ListQuery
    ) -> Listing[RegistrationKeyAnswer]:
        """Return registration keys, newest first."""
        async with self._vault.store.read() as records:
            page = await records.keys.page(query.cursor, query.limit)
            known = {host.id: host for host in await records.hosts.all()}
        now = self._vault.clock.now()
        return listing(page, (presentation.key(item, known, now) for item in page.items))

    async def revoke_registration_key(self, call: Call, _body: NoBody) -> RegistrationKeyAnswer:
        """Make a registration key useless."""
        key = await trust.revoke_key(self._vault, call.command, call.path["id"])
        async with self._vault.store.read() as records:
            known = {host.id: host for host in await records.hosts.all()}
        return presentation.key(key, known, self._vault.clock.now())

    def _host(self, host: Host) -> HostAnswer:
        return presentation.host(host_status(self._vault, host))


def _life(seconds: int) -> timedelta:
    # A life beyond every calendar is still only too long.
    return timedelta(seconds=min(seconds, 10**9))
