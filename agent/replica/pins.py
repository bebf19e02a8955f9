"""Who relies on the base staying what it is: durable before anything is built on it."""

from dataclasses import dataclass

from agent.replica.documents import read_document, write_document
from agent.replica.errors import ReplicaError
from agent.replica.layout import Layout
from replikera.blocks.segment import SegmentFormatError
from replikera.blocks.segment.canonical import Json, number_of, object_of, text_of
from replikera.ports.files import Files

PINS_DAMAGED = "pins-damaged"
MAX_PINS = 64
MAX_HOLDER_CHARACTERS = 128
_MAX_NUMBER = (1 << 63) - 1
_KEYS = frozenset({"pins"})
_PIN_KEYS = frozenset({"chain_digest", "holder", "sequence"})
_DIGEST_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Pin:
    """A holder that uses a point, and the point's identity."""

    holder: str
    sequence: int
    chain_digest: bytes


class Pins:
    """The pins of one replica. A file that cannot be read pins everything: nobody knows what was built."""

    def __init__(self, files: Files, layout: Layout) -> None:
        """Read what is durable. Raises `OSError`."""
        self._files = files
        self._layout = layout
        self._damage: SegmentFormatError | None = None
        self._pins: tuple[Pin, ...] = ()
        try:
            self._pins = _read(files, layout)
        except SegmentFormatError as error:
            self._damage = error

    @property
    def all(self) -> tuple[Pin, ...]:
        """Return the pins, in the order in which they were made."""
        return self._pins

    @property
    def hold_base(self) -> bool:
        """Tell whether the base must not be written."""
        return bool(self._pins) or self._damage is not None

    @property
    def sequences(self) -> frozenset[int]:
        """Return the points that must not be released."""
        return frozenset(pin.sequence for pin in self._pins)

    @property
    def trouble(self) -> ReplicaError | None:
        """Return why nothing can be pinned or released, None where it can."""
        if self._damage is None:
            return None
        return ReplicaError(
            PINS_DAMAGED,
            f"{self._layout.pins}: {self._damage}.",
            "Clean up all test failovers of this replica, remove the file, and restart the agent.",
        )

    def add(self, pin: Pin) -> None:
        """Add a pin, durably; the same again changes nothing. Raises `ReplicaError`."""
        self._require_readable()
        mine = [known for known in self._pins if known.holder == pin.holder]
        if pin in mine:
            return
        if mine:
            raise ReplicaError(
                "already-pinned",
                f"{pin.holder} has pinned point {mine[0].sequence} already.",
                "Clean it up before it takes another point.",
            )
        if len(self._pins) >= MAX_PINS or not 0 < len(pin.holder) <= MAX_HOLDER_CHARACTERS:
            raise ReplicaError(
                "too-many-pins",
                f"{len(self._pins)} test failovers use points of this replica, {MAX_PINS} at most can.",
                "Clean up the test failovers that are over.",
            )
        self._write((*self._pins, pin))

    def remove(self, holder: str) -> None:
        """Remove the pin of a holder, durably; a missing one is no error. Raises `ReplicaError`."""
        self._require_readable()
        rest = tuple(pin for pin in self._pins if pin.holder != holder)
        if rest != self._pins:
            self._write(rest)

    def _require_readable(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _write(self, pins: tuple[Pin, ...]) -> None:
        listed: list[Json] = [
            {
                "chain_digest": pin.chain_digest.hex(),
                "holder": pin.holder,
                "sequence": pin.sequence,
            }
            for pin in pins
        ]
        write_document(self._files, self._layout.pins, {"pins": listed})
        self._pins = pins


def _read(files: Files, layout: Layout) -> tuple[Pin, ...]:
    try:
        fields = object_of(read_document(files, layout.pins), _KEYS, "the pins")
    except FileNotFoundError:
        return ()
    listed = fields["pins"]
    if not isinstance(listed, list) or len(listed) > MAX_PINS:
        raise SegmentFormatError("the pins are not a list of pins")
    return tuple(_parse(item) for item in listed)


def _parse(item: Json) -> Pin:
    fields = object_of(item, _PIN_KEYS, "a pin")
    digest = text_of(fields, "chain_digest", _DIGEST_CHARACTERS)
    try:
        chain_digest = bytes.fromhex(digest)
    except ValueError as error:
        raise SegmentFormatError("a pin has no chain digest") from error
    return Pin(
        holder=text_of(fields, "holder", MAX_HOLDER_CHARACTERS),
        sequence=number_of(fields, "sequence", _MAX_NUMBER),
        chain_digest=chain_digest,
    )
