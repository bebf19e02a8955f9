from coordinator.domain.commands import BY_VAULT, Command, by_host, by_operator
from coordinator.domain.identifiers import HostId


def test_the_history_names_who_asked() -> None:
    assert by_operator("ann").actor == "operator/ann"
    assert by_host(HostId("h-1")).actor == "host/h-1"
    assert BY_VAULT.actor == "vault"


def test_only_an_operators_request_can_be_repeated() -> None:
    assert by_operator("ann", "key", b"digest") == Command("operator/ann", "key", b"digest")
    assert by_host(HostId("h-1")).key is None
    assert BY_VAULT.key is None
