"""Sites and clouds: locations, and named groups of hosts in them."""

from dataclasses import dataclass
from datetime import datetime

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import CloudId, SiteId, check_name


@dataclass(frozen=True, slots=True)
class Site(Aggregate):
    """A location."""

    id: SiteId
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Cloud(Aggregate):
    """A named group of hosts of one site; the name is unique in its site."""

    id: CloudId
    name: str
    site: str
    created_at: datetime


def create_site(site_id: SiteId, name: str, now: datetime) -> tuple[Site, Decision]:
    """Decide that there is a new site."""
    site = Site(site_id, check_name("site", name, "name"), now)
    event = Event(now, EventKind.SITE_CREATED, site_id, name)
    return site, Decision(aggregates=(site,), events=(event,))


def create_cloud(cloud_id: CloudId, name: str, site: str, now: datetime) -> tuple[Cloud, Decision]:
    """Decide that there is a new cloud at a site."""
    cloud = Cloud(cloud_id, check_name("cloud", name, "name"), site, now)
    event = Event(now, EventKind.CLOUD_CREATED, cloud_id, f"{name} at {site}")
    return cloud, Decision(aggregates=(cloud,), events=(event,))
