"""The deny-list as the vault signed it last: every session sends the same bytes."""


class DenyLists:
    """The newest signed list; before the first one it is empty and has version 0."""

    def __init__(self) -> None:
        self._version = 0
        self._signed = b""

    @property
    def version(self) -> int:
        """Return the version of the list."""
        return self._version

    @property
    def signed(self) -> bytes:
        """Return the list, a serialised `Signed`."""
        return self._signed

    def take(self, version: int, signed: bytes) -> None:
        """Send this list from now on; an older one changes nothing."""
        if version >= self._version:
            self._version, self._signed = version, signed

    def outdated(self) -> None:
        """Note that the list has to be signed anew, whatever its version."""
        self._version, self._signed = 0, b""
