"""What people type for storage."""

from dataclasses import dataclass

import typer


@dataclass(frozen=True, slots=True)
class HostStorage:
    """A storage class of a host; the empty one is that of disks without a class."""

    host: str
    storage_class: str


def parse_host_storage(text: str) -> HostStorage:
    """Return the parts of "HOST/CLASS" or "HOST"; a class's name may hold slashes, a host's not."""
    host, slash, storage_class = text.partition("/")
    if not host or (slash and not storage_class):
        raise typer.BadParameter(
            f"{text!r} does not name storage of a host: write HOST/CLASS, as in hv1/gold, or HOST for disks "
            "without a class."
        )
    return HostStorage(host, storage_class)
