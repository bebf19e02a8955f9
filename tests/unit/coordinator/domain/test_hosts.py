from datetime import timedelta

import pytest

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.hosts import HostFacts
from tests.unit.coordinator.examples import LATER, SOURCE


def test_a_host_takes_over_what_its_agent_says_but_not_its_name_or_site() -> None:
    facts = HostFacts("silver", "hyperv", "2.0", "new:1", timedelta(seconds=30))
    host = SOURCE.introduced(facts, LATER)
    assert (host.id, host.name, host.site) == (SOURCE.id, SOURCE.name, SOURCE.site)
    assert (host.cloud, host.hypervisor, host.agent_version) == ("silver", "hyperv", "2.0")
    assert host.replication_address == "new:1"
    assert host.minimum_copy_interval == timedelta(seconds=30)
    assert host.last_seen_at == LATER


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("text", ["x" * 256, "two\nlines", "\x1b[2J"])
def test_facts_that_cannot_be_shown_are_refused(at: int, text: str) -> None:
    texts = ["cloud", "hyperv", "1.0", "host:1"]
    texts[at] = text
    with pytest.raises(InvalidValueError, match="agent"):
        HostFacts(texts[0], texts[1], texts[2], texts[3], timedelta(0))
