import pytest

from coordinator.domain import sites
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.events import EventKind
from coordinator.domain.identifiers import CloudId, SiteId
from tests.unit.coordinator.examples import NOW


def test_a_site_and_a_cloud_are_made_with_a_line_in_the_history() -> None:
    site, decision = sites.create_site(SiteId("s"), "north", NOW)
    assert decision.aggregates == (site,)
    (event,) = decision.events
    assert (event.kind, event.subject, event.detail) == (EventKind.SITE_CREATED, "s", "north")
    cloud, decision = sites.create_cloud(CloudId("c"), "gold", "north", NOW)
    assert decision.aggregates == (cloud,)
    (event,) = decision.events
    assert (event.kind, event.subject) == (EventKind.CLOUD_CREATED, "c")
    assert event.detail == "gold at north"


@pytest.mark.parametrize("name", ["", " north", "a/b", "x" * 101, "a\nb"])
def test_what_cannot_be_a_name_is_refused_by_field(name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        sites.create_site(SiteId("s"), name, NOW)
    assert caught.value.field == "name"
    with pytest.raises(InvalidValueError):
        sites.create_cloud(CloudId("c"), name, "north", NOW)
