"""Free ports are free, different, and out of the way of outgoing connections."""

import socket

import pytest

from replikera.system.loopback import free_ports
from replikera.system.randomness import SystemRandomness


class Numbered:
    """Draws 20000, 20000, 20001, 20001, 20002, ... and nothing else."""

    def __init__(self) -> None:
        self.drawn = -1

    def uniform(self, low: float, high: float) -> float:
        assert high < 32_768
        self.drawn += 1
        return low + self.drawn // 2

    def bytes(self, count: int) -> bytes:
        raise NotImplementedError

    def uuid(self) -> str:
        raise NotImplementedError


def test_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(5, SystemRandomness())
    assert len(set(ports)) == 5
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_port_that_is_taken_is_passed_over() -> None:
    first, second = free_ports(2, Numbered())
    with socket.create_server(("127.0.0.1", first)):
        assert free_ports(1, Numbered()) != (first,)
    assert first < second


def test_more_ports_than_were_found_are_an_error() -> None:
    with pytest.raises(OSError, match="no 600 free ports"):
        free_ports(600, Numbered())
