"""Free ports of the loopback interface."""

import socket
from collections.abc import Iterator

from replikera.ports.randomness import Randomness

_FIRST_PORT = 20_000
_LAST_PORT = 31_999
_MAX_TRIES = 1_000


def free_ports(count: int, randomness: Randomness) -> tuple[int, ...]:
    """Return `count` different ports that nobody listens on now. Raises `OSError` where there are none.

    Below the range that systems take for outgoing connections: a daemon that is down for a moment finds its
    port again.
    """
    ports: set[int] = set()
    for port in _candidates(randomness):
        if len(ports) == count:
            return tuple(sorted(ports))
        if port not in ports and _is_free(port):
            ports.add(port)
    raise OSError(f"no {count} free ports between {_FIRST_PORT} and {_LAST_PORT} on 127.0.0.1")


def _candidates(randomness: Randomness) -> Iterator[int]:
    for _ in range(_MAX_TRIES):
        yield int(randomness.uniform(_FIRST_PORT, _LAST_PORT))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
