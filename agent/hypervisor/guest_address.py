"""The addresses that a network adapter is to have inside of its guest."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

MAX_ENTRIES = 32
"""A guest has one or two addresses an adapter, and hypervisors take few gateways and name servers."""


@dataclass(frozen=True, slots=True)
class GuestAddress:
    """IPv4 and IPv6 mixed. `addresses` are with prefix length ("10.0.0.5/24"); none of them: the guest asks DHCP.

    Raises `ValueError` for what is no address, and for gateways without an address.
    """

    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for entries in (self.addresses, self.gateways, self.name_servers):
            if len(entries) > MAX_ENTRIES:
                raise ValueError(
                    f"{len(entries)} addresses for one adapter. Give at most {MAX_ENTRIES}."
                )
        for address in self.addresses:
            if "/" not in address:
                raise ValueError(f"{address!r} has no prefix length. Write it like 10.0.0.5/24.")
            ip_interface(address)
        for address in (*self.gateways, *self.name_servers):
            ip_address(address)
        if self.gateways and not self.addresses:
            raise ValueError("Gateways come from DHCP too. Give an address, or no gateway.")

    @property
    def is_dhcp(self) -> bool:
        """Tell whether the guest asks DHCP for its addresses."""
        return not self.addresses
