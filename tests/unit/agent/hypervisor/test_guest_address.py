import pytest

from agent.hypervisor.guest_address import MAX_ENTRIES, GuestAddress


def test_addresses_of_both_families_are_taken() -> None:
    address = GuestAddress(("10.0.0.5/24", "fd00::5/64"), ("10.0.0.1",), ("fd00::53", "9.9.9.9"))
    assert not address.is_dhcp


def test_without_an_address_the_guest_asks_dhcp() -> None:
    assert GuestAddress().is_dhcp
    assert GuestAddress(name_servers=("9.9.9.9",)).is_dhcp


@pytest.mark.parametrize(
    ("addresses", "gateways", "name_servers"),
    [
        (("10.0.0.5",), (), ()),
        (("10.0.0.500/24",), (), ()),
        (("10.0.0.5/24",), ("nowhere",), ()),
        (("10.0.0.5/24",), (), ("10.0.0.53/24",)),
        ((), ("10.0.0.1",), ()),
        (("10.0.0.5/24",) * (MAX_ENTRIES + 1), (), ()),
    ],
)
def test_what_no_guest_could_use_is_refused(
    addresses: tuple[str, ...], gateways: tuple[str, ...], name_servers: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        GuestAddress(addresses, gateways, name_servers)
