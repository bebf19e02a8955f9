"""The two headers (MS-VHDX 2.2.2): which one counts, and how both are replaced without a moment that has none."""

from dataclasses import dataclass, replace
from uuid import UUID

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, UNSUPPORTED, VhdxError


@dataclass(frozen=True, slots=True)
class Header:
    """One header. `data_write_id` names the disk's content: children of the file are bound to it."""

    sequence_number: int
    file_write_id: UUID
    data_write_id: UUID
    log_id: UUID
    log_version: int
    version: int
    log_length: int
    log_offset: int

    def encode(self) -> bytes:
        """Return the 4 KiB of the header, checksum included."""
        fields = layout.HEADER.pack(
            layout.HEADER_SIGNATURE,
            0,
            self.sequence_number,
            self.file_write_id.bytes_le,
            self.data_write_id.bytes_le,
            self.log_id.bytes_le,
            self.log_version,
            self.version,
            self.log_length,
            self.log_offset,
        )
        return layout.with_checksum(fields.ljust(layout.HEADER_SIZE, b"\0"))


def decode_header(data: bytes) -> Header | None:
    """Return the header in these 4 KiB, None where they hold no valid one."""
    if len(data) != layout.HEADER_SIZE or not layout.is_sound(data, layout.HEADER_SIGNATURE):
        return None
    _, _, sequence, file_write, data_write, log, *rest = layout.HEADER.unpack_from(data)
    ids = (UUID(bytes_le=file_write), UUID(bytes_le=data_write), UUID(bytes_le=log))
    return Header(sequence, *ids, *rest)


class Headers:
    """Both headers of a file, `current` being the one that counts."""

    def __init__(self, file: File, current: Header, slot: int) -> None:
        self._file = file
        self._slot = slot
        self.current = current

    @classmethod
    def read(cls, file: File) -> "Headers":
        """Choose the valid header with the higher sequence number, the first of two equal ones."""
        found = [
            (header.sequence_number, -slot, header)
            for slot, offset in enumerate(layout.HEADER_OFFSETS)
            if (header := decode_header(file.read(layout.HEADER_SIZE, offset)))
        ]
        if not found:
            raise VhdxError(
                file.path, "neither header is valid, the file is damaged or truncated", DAMAGED
            )
        _, slot, current = max(found, key=lambda entry: entry[:2])
        _check(file, current)
        return cls(file, current, -slot)

    def begin_writing(self, file_write_id: UUID, data_write_id: UUID) -> None:
        """Give the file new write ids, durably, before the first change of an opening (2.2.2).

        Each step writes the header that does not count, so a torn write leaves the other one valid.
        Both steps are taken, for readers that look at one header alone.
        """
        new = replace(self.current, file_write_id=file_write_id, data_write_id=data_write_id)
        for _ in layout.HEADER_OFFSETS:
            self._write(new)

    def change(self, *, log_id: UUID | None = None, file_write_id: UUID | None = None) -> None:
        """Name another log (`NIL`: none) or another opening, durably: one step, which happens or does not."""
        current = self.current
        self._write(
            replace(
                current,
                log_id=current.log_id if log_id is None else log_id,
                file_write_id=current.file_write_id if file_write_id is None else file_write_id,
            )
        )

    def _write(self, new: Header) -> None:
        """Write the header that does not count with the next sequence number: from now on it counts."""
        number = self.current.sequence_number + 1
        if number >= layout.SEQUENCE_NUMBER_LIMIT:
            raise VhdxError(
                self._file.path, "the header's sequence number has no successor", UNSUPPORTED
            )
        header, slot = replace(new, sequence_number=number), 1 - self._slot
        self._file.write(header.encode(), layout.HEADER_OFFSETS[slot])
        self._file.sync()
        self.current, self._slot = header, slot


def _check(file: File, header: Header) -> None:
    if header.version != layout.HEADER_VERSION:
        raise VhdxError(file.path, f"the header's version is {header.version}, not 1", UNSUPPORTED)
    aligned = header.log_length % layout.MIB == header.log_offset % layout.MIB == 0
    if header.log_length and (not aligned or header.log_offset < layout.HEADER_SECTION_SIZE):
        raise VhdxError(
            file.path,
            f"the log at {header.log_offset}, {header.log_length} bytes, is not in whole MiB"
            " behind the header section",
            DAMAGED,
        )
