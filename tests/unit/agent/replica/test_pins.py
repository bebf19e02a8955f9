"""Who keeps a base as it is."""

from pathlib import Path

import pytest

from agent.replica import pins as pins_module
from agent.replica.errors import ReplicaError
from agent.replica.layout import Layout
from agent.replica.pins import Pin, Pins
from tests.support.crash_files import CrashFiles

LAYOUT = Layout(Path("/replica"))
ONE, TWO = Pin("order-1", 3, b"\3" * 32), Pin("order-2", 3, b"\3" * 32)


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(LAYOUT.folder)
    files.sync_directory(Path("/"))
    return files


def test_pins_are_durable_when_they_are_made_and_when_they_are_gone(files: CrashFiles) -> None:
    pins = Pins(files, LAYOUT)
    assert not pins.hold_base
    pins.add(ONE)
    assert files.pending() == []
    pins.add(TWO)
    pins.add(TWO)
    again = Pins(files, LAYOUT)
    assert again.all == (ONE, TWO)
    assert again.hold_base
    assert again.sequences == {3}
    again.remove("order-1")
    again.remove("order-1")
    assert files.pending() == []
    assert Pins(files, LAYOUT).all == (TWO,)
    again.remove("order-2")
    assert not Pins(files, LAYOUT).hold_base


def test_an_order_has_one_pin(files: CrashFiles) -> None:
    pins = Pins(files, LAYOUT)
    pins.add(ONE)
    with pytest.raises(ReplicaError, match="pinned point 3 already") as raised:
        pins.add(Pin("order-1", 4, b"\4" * 32))
    assert raised.value.code == "already-pinned"


@pytest.mark.parametrize("order", ["", "x" * 129])
def test_their_number_and_names_are_bounded(
    files: CrashFiles, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(pins_module, "MAX_PINS", 2)
    pins = Pins(files, LAYOUT)
    with pytest.raises(ReplicaError):
        pins.add(Pin(order, 3, b"\3" * 32))
    pins.add(ONE)
    pins.add(TWO)
    with pytest.raises(ReplicaError) as raised:
        pins.add(Pin("order-3", 3, b"\3" * 32))
    assert raised.value.code == "too-many-pins"


def test_pins_that_cannot_be_read_keep_everything(files: CrashFiles) -> None:
    Pins(files, LAYOUT).add(ONE)
    with files.open_write(LAYOUT.pins) as file:
        file.write(b"?", 12)
    pins = Pins(files, LAYOUT)
    assert pins.hold_base
    assert pins.trouble is not None
    with pytest.raises(ReplicaError) as raised:
        pins.add(TWO)
    assert raised.value.code == "pins-damaged"
    with pytest.raises(ReplicaError, match="remove the file"):
        pins.remove("order-1")
