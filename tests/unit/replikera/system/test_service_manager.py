"""systemd is told what it asked for, and nobody else is told anything."""

import os
import sys
from pathlib import Path

import pytest

from replikera.ports.service_manager import ServiceManager
from replikera.system.service_manager import NoServiceManager, NotifySocket, service_manager
from tests.support.notify_socket import NotifySocketBed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no sockets with a path")


def tell_all(manager: ServiceManager) -> None:
    manager.tell_ready()
    manager.tell_alive()
    manager.tell_stopping()


def test_a_socket_with_a_path_hears_all_of_it(tmp_path: Path) -> None:
    with NotifySocketBed.in_folder(tmp_path) as bed:
        tell_all(service_manager({"NOTIFY_SOCKET": bed.address}))
        assert bed.pending() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract addresses are Linux' own")
def test_an_abstract_socket_hears_all_of_it() -> None:
    with NotifySocketBed.abstract() as bed:
        tell_all(service_manager({"NOTIFY_SOCKET": bed.address}))
        assert bed.pending() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative"])
def test_without_a_socket_that_we_know_nobody_is_told(address: str | None) -> None:
    environment = {} if address is None else {"NOTIFY_SOCKET": address}
    manager = service_manager(environment)
    assert isinstance(manager, NoServiceManager)
    assert manager.patience_s is None
    tell_all(manager)


@pytest.mark.parametrize(
    ("environment", "patience_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    environment: dict[str, str], patience_s: float | None
) -> None:
    manager = service_manager({"NOTIFY_SOCKET": "/run/notify", **environment})
    assert isinstance(manager, NotifySocket)
    assert manager.patience_s == patience_s


def test_children_cannot_speak_in_its_name() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "HOME": "/",
    }
    service_manager(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("name", ["gone", "n" * 200])
def test_a_manager_that_does_not_hear_is_no_trouble(tmp_path: Path, name: str) -> None:
    tell_all(NotifySocket(str(tmp_path / name), None))
