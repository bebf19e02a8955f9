"""Creating sites and clouds, and the clouds that agents name."""

from datetime import datetime
from uuid import UUID, uuid5

from coordinator.domain import sites
from coordinator.domain.commands import Command
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import RefusedError, UnknownObjectError
from coordinator.domain.identifiers import CloudId, SiteId
from coordinator.domain.sites import Cloud, Site
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records

MAX_CLOUDS = 1000
"""Clouds that agents may bring into being, in all."""

_CLOUDS = UUID("5d0a0b5e-8f0b-4f0e-9a57-4a1d3f4b6c21")


async def create_site(vault: Vault, command: Command, name: str) -> Site:
    """Make a site with a name that no other has."""
    site_id = SiteId(vault.randomness.uuid())
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.sites.get(done)
        site, decision = sites.create_site(site_id, name, vault.clock.now())
        if await records.sites.is_taken(name):
            raise RefusedError(
                "site-name-taken", f"There is a site {name} already.", "Choose another name."
            )
        await records.save(decision, command, result=site.id)
    return site


async def create_cloud(vault: Vault, command: Command, name: str, site: str) -> Cloud:
    """Make a cloud with a name that no other has at its site."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.clouds.get(done)
        site = (await existing_site(records, site)).name
        cloud, decision = _new_cloud(name, site, vault.clock.now())
        if await records.clouds.find(cloud.id) is not None:
            raise RefusedError(
                "cloud-name-taken",
                f"There is a cloud {name} at site {site} already.",
                "Choose another name.",
            )
        await records.save(decision, command, result=cloud.id)
    return cloud


async def existing_site(records: Records, site: str) -> Site:
    """Return the site with that name or id. Raises `UnknownObjectError` that tells how to make one."""
    try:
        return await records.sites.get(site)
    except UnknownObjectError as error:
        raise UnknownObjectError(
            error.code, error.cause, "Create it first: replikera site create."
        ) from error


async def ensure_cloud(records: Records, site: str, cloud: str, now: datetime) -> Decision:
    """Decide that the cloud that an agent names exists at its site; an agent may name none.

    Beyond `MAX_CLOUDS` of them agents make no new ones: each is a line of the history. Raises `InvalidValueError` for
    what cannot be a name.
    """
    if not cloud:
        return NOTHING
    made, decision = _new_cloud(cloud, site, now)
    if await records.clouds.find(made.id) is not None:
        return NOTHING
    is_full = len(await records.clouds.all(limit=MAX_CLOUDS)) >= MAX_CLOUDS
    return NOTHING if is_full else decision


def _new_cloud(name: str, site: str, now: datetime) -> tuple[Cloud, Decision]:
    # The id follows from both names: two agents that name a new cloud at once mean the same one.
    cloud_id = CloudId(str(uuid5(_CLOUDS, f"{site}/{name}")))
    return sites.create_cloud(cloud_id, name, site, now)
