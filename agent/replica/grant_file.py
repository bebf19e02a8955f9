"""The highest version of a grant that a replica has seen: an older one never comes back."""

from agent.replica.documents import read_document, write_document
from agent.replica.errors import ReplicaError
from agent.replica.layout import Layout
from replikera.blocks.segment import SegmentFormatError
from replikera.blocks.segment.canonical import number_of, object_of
from replikera.ports.files import Files

_KEYS = frozenset({"version"})
_MAX_NUMBER = (1 << 63) - 1


class SeenGrants:
    """One number in a durable file. Where that is damaged nothing is received, and points can still be recovered."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files = files
        self._layout = layout
        self._version = self._read()

    @property
    def version(self) -> int:
        """Return the highest version that was seen, 0 for none."""
        return self._version or 0

    def note(self, version: int) -> int:
        """Return the highest version that was seen, this one included, durably. Raises `ReplicaError`, `OSError`."""
        if self._version is None:
            raise ReplicaError(
                "replica-damaged",
                f"{self._layout.grant} is damaged: which grants were replaced is unknown.",
                "Remove the file and restart the agent; replication then continues with the source's next grant.",
            )
        if version > self._version:
            write_document(self._files, self._layout.grant, {"version": version})
            self._version = version
        return self._version

    def _read(self) -> int | None:
        try:
            document = read_document(self._files, self._layout.grant)
            fields = object_of(document, _KEYS, "the version of a grant")
            return number_of(fields, "version", _MAX_NUMBER)
        except FileNotFoundError:
            return 0
        except SegmentFormatError:
            return None
