"""Resources that protections refer to: the vault, hosts, machines, networks, policies, network mappings."""

from datetime import timedelta
from http import HTTPStatus

from aiohttp import web

from coordinator.orchestration import catalogue, hosts
from coordinator.orchestration.catalogue import NetworkNames
from coordinator.orchestration.status import host_statuses, vault_status
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from coordinator.web import models, presentation
from coordinator.web.bodies import answer, read_body


class CatalogueHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def get_vault(self, _request: web.Request) -> web.Response:
        """`GET /vault`."""
        record, addresses = self._vault.record, self._vault.addresses
        return answer(
            models.VaultAnswer(
                id=record.id,
                name=record.name,
                created_at=record.created_at,
                session_address=addresses.session,
                enrolment_address=addresses.enrolment,
            )
        )

    async def get_status(self, _request: web.Request) -> web.Response:
        """`GET /status`."""
        async with self._vault.store.read() as records:
            status = await vault_status(self._vault, records)
        return answer(
            models.StatusAnswer(
                vault=self._vault.record.name,
                now=status.now,
                health=status.health,
                hosts=[presentation.host(host) for host in status.hosts],
                protections=[presentation.protection(item) for item in status.protections],
                jobs_running=status.jobs_running,
            )
        )

    async def invite_host(self, request: web.Request) -> web.Response:
        """`POST /host-invitations`."""
        body = await read_body(request, models.HostInvitationRequest)
        # A life beyond every calendar is still only too long.
        life = timedelta(seconds=min(body.valid_for_seconds, 10**9))
        invitation = await hosts.invite_host(self._vault, body.site, life)
        key = invitation.key
        return answer(
            models.HostInvitationAnswer(
                key_id=key.id,
                join_line=invitation.join_line,
                site=key.site,
                expires_at=key.expires_at,
            ),
            HTTPStatus.CREATED,
        )

    async def list_hosts(self, _request: web.Request) -> web.Response:
        """`GET /hosts`."""
        async with self._vault.store.read() as records:
            found = await host_statuses(self._vault, records)
        return answer(models.ItemList(items=[presentation.host(status) for status in found]))

    async def list_machines(self, _request: web.Request) -> web.Response:
        """`GET /machines`."""
        async with self._vault.store.read() as records:
            known = await _hosts(records)
            protections = {item.machine_id: item for item in await records.protections.all()}
            found = await records.inventories.machines()
        by_machine = {str(machine_id): item for machine_id, item in protections.items()}
        items = [presentation.machine(machine, known, by_machine) for machine in found]
        return answer(models.ItemList(items=items))

    async def list_networks(self, _request: web.Request) -> web.Response:
        """`GET /networks`."""
        async with self._vault.store.read() as records:
            known = await _hosts(records)
            found = await records.inventories.networks()
        items = [presentation.network(network, known) for network in found]
        return answer(models.ItemList(items=items))

    async def list_policies(self, _request: web.Request) -> web.Response:
        """`GET /policies`."""
        async with self._vault.store.read() as records:
            found = await records.policies.all()
        return answer(models.ItemList(items=[presentation.policy(policy) for policy in found]))

    async def create_policy(self, request: web.Request) -> web.Response:
        """`POST /policies`."""
        body = await read_body(request, models.PolicyRequest)
        policy = await catalogue.create_policy(
            self._vault,
            body.name,
            timedelta(seconds=body.copy_frequency_seconds),
            timedelta(hours=body.retention_hours),
        )
        return answer(presentation.policy(policy), HTTPStatus.CREATED)

    async def list_mappings(self, _request: web.Request) -> web.Response:
        """`GET /network-mappings`."""
        async with self._vault.store.read() as records:
            known = await _hosts(records)
            found = await records.mappings.all()
        items = [presentation.mapping(mapping, known) for mapping in found]
        return answer(models.ItemList(items=items))

    async def create_mapping(self, request: web.Request) -> web.Response:
        """`POST /network-mappings`."""
        body = await read_body(request, models.NetworkMappingRequest)
        names = NetworkNames(
            body.primary_host,
            body.primary_network,
            body.secondary_host,
            body.secondary_network,
            body.test_network,
        )
        mapping = await catalogue.create_mapping(self._vault, names)
        async with self._vault.store.read() as records:
            known = await _hosts(records)
        return answer(presentation.mapping(mapping, known), HTTPStatus.CREATED)


async def _hosts(records: Records) -> presentation.Hosts:
    return {host.id: host for host in await records.hosts.all()}
