"""A backup of a vault: one uncompressed tar file that any tar reads, and that is read here with distrust.

    manifest.json   what the backup is of, and name, size and SHA-256 of every other file, in their order
    vault.db        the database
    authority/*     certificates and encrypted keys; the passphrase is not among them

Only what the manifest names is looked at, in its order, and nothing else may be there: a name that leads elsewhere, a
link, a device or a second file of one name is not a backup. A changed file is found by its sum.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from replikera.ports.files import File, Files

FORMAT = "replikera-vault-backup"
VERSION = 1
DATABASE = "vault.db"
AUTHORITY = "authority"

MAX_MANIFEST_BYTES = 64 * 1024
MAX_FILE_BYTES = 8**11 - 1
"""What eleven octal digits of a tar header can say: 8 GiB less one byte."""

MAX_AUTHORITY_BYTES = 64 * 1024
"""A chain of three P-256 certificates is about 3 KiB."""

MAX_FILES = 64
_BLOCK = 512
_RECORD = 10_240  # what tar pads to
_CHUNK = 1 << 20
_NAME = re.compile(r"vault\.db|authority/[a-z][a-z0-9-]{0,40}\.pem")
_SUM = re.compile(r"[0-9a-f]{64}")
_MANIFEST = "manifest.json"


class BackupError(Exception):
    """A file is not a backup that can be used."""

    def __init__(self, code: str, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a backup. `sha256` is hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. (`head_number`, `head_digest`) is where its history ends."""

    vault_id: str
    vault_name: str
    created_at: datetime
    head_number: int
    head_digest: bytes
    members: tuple[Member, ...]

    def to_json(self) -> bytes:
        """Return the manifest as the archive has it."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "vault": {"id": self.vault_id, "name": self.vault_name},
            "created_at": self.created_at.astimezone(UTC).isoformat(),
            "history": {"number": self.head_number, "digest": self.head_digest.hex()},
            "files": [
                {"name": item.name, "size": item.size, "sha256": item.sha256}
                for item in self.members
            ],
        }
        return json.dumps(content, indent=2).encode() + b"\n"


def archive_size(manifest: Manifest) -> int:
    """Return how long the archive of a manifest is."""
    content = _length_of_content(manifest)
    return content + _length_of_end(content)


def header(name: str, size: int, created_at: datetime) -> bytes:
    """Return the block that stands before a file of the archive."""
    fields = [
        name.encode().ljust(100, b"\0"),
        b"0000600\0",
        b"0000000\0" * 2,
        b"%011o\0" % size,
        b"%011o\0" % int(created_at.timestamp()),
        b" " * 8,
        b"0" + bytes(100) + b"ustar\x0000",
        bytes(32) * 2,
        b"0000000\0" * 2,
    ]
    block = b"".join(fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def beginning(manifest: Manifest) -> bytes:
    """Return what stands before the first file that the manifest names."""
    content = manifest.to_json()
    return _padded(header(_MANIFEST, len(content), manifest.created_at) + content)


def padding(size: int) -> bytes:
    """Return what follows a file of `size` bytes."""
    return bytes(_padding(size))


def ending(manifest: Manifest) -> bytes:
    """Return what follows the last file."""
    return bytes(_length_of_end(_length_of_content(manifest)))


def read_manifest(files: Files, archive: Path) -> Manifest:
    """Return what an archive says it is. Raises `BackupError`, `OSError`."""
    with files.open_read(archive) as file:
        return _Reader(archive, file).manifest()


def unpack(files: Files, archive: Path, folder: Path) -> Manifest:
    """Write every file of an archive into `folder`, durably, each checked against its sum.

    Raises `BackupError`, `OSError`; what was written until then stays.
    """
    with files.open_read(archive) as file:
        reader = _Reader(archive, file)
        manifest = reader.manifest()
        for item in manifest.members:
            target = folder / item.name
            files.make_directory(target.parent)
            reader.extract(files, item, target)
            files.sync_directory(target.parent)
        reader.end()
    files.sync_directory(folder)
    return manifest


class _Reader:
    """Reads an archive from its beginning to its end, once."""

    def __init__(self, path: Path, file: File) -> None:
        self._path = path
        self._file = file
        self._at = 0

    def manifest(self) -> Manifest:
        """Return the manifest, which comes first."""
        block = self._read(_BLOCK)
        if block[257:262] != b"ustar":
            raise self._error("backup-not-one", "is not a backup of a vault")
        size = self._size_of(block, _MANIFEST)
        if size > MAX_MANIFEST_BYTES:
            raise self._error("backup-damaged", f"has a manifest of {size} bytes")
        content = self._read(size)
        self._skip_padding(size)
        return self._parsed(content)

    def extract(self, files: Files, item: Member, target: Path) -> None:
        """Write the next file, which has to be this one, to `target`."""
        size = self._size_of(self._read(_BLOCK), item.name)
        if size != item.size:
            raise self._error("backup-damaged", f"has {size} bytes of {item.name}, not {item.size}")
        digest = hashlib.sha256()
        with files.create(target) as file:
            done = 0
            while done < size:
                chunk = self._read(min(_CHUNK, size - done))
                digest.update(chunk)
                file.write(chunk, done)
                done += len(chunk)
            file.sync()
        if digest.hexdigest() != item.sha256:
            raise self._error("backup-damaged", f"holds a {item.name} that was changed")
        self._skip_padding(size)

    def end(self) -> None:
        """Check that nothing follows."""
        rest = _length_of_end(self._at)
        if self._file.size() != self._at + rest or any(self._read(rest)):
            raise self._error("backup-damaged", "does not end where its manifest says")

    def _size_of(self, block: bytes, name: str) -> int:
        if not _is_intact(block):
            raise self._error("backup-damaged", f"has no header of {name} where it should be")
        if block[:100].rstrip(b"\0") != name.encode() or any(block[345:500]):
            found = block[:100].rstrip(b"\0")[:60].decode(errors="backslashreplace")
            raise self._error("backup-damaged", f"holds {found!r} where {name} should be")
        if block[156:157] not in (b"0", b"\0"):
            raise self._error("backup-damaged", f"holds a {name} that is not a plain file")
        try:
            return int(block[124:135], 8)
        except ValueError as error:
            raise self._error("backup-damaged", f"does not tell the size of {name}") from error

    def _parsed(self, content: bytes) -> Manifest:
        try:
            found = json.loads(content)
            if found["format"] != FORMAT:
                raise self._error("backup-not-one", "is not a backup of a vault")
            if found["version"] != VERSION:
                raise BackupError(
                    "backup-newer",
                    f"The backup {self._path} has version {found['version']!r} of the format; "
                    f"this program reads version {VERSION}.",
                    "Use the version of Replikera that made it, or a newer one.",
                )
            manifest = _manifest(found)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._error(
                "backup-damaged", f"has a manifest that makes no sense ({error})"
            ) from error
        self._check(manifest)
        return manifest

    def _check(self, manifest: Manifest) -> None:
        names = [item.name for item in manifest.members]
        if len(names) > MAX_FILES or len(set(names)) != len(names) or DATABASE not in names:
            raise self._error(
                "backup-damaged", "has a manifest without a database, or with a file twice"
            )
        for item in manifest.members:
            largest = MAX_FILE_BYTES if item.name == DATABASE else MAX_AUTHORITY_BYTES
            if _NAME.fullmatch(item.name) is None or not 0 <= item.size <= largest:
                raise self._error(
                    "backup-damaged",
                    f"names a file that no backup has: {item.name[:60]!r}, {item.size} bytes",
                )

    def _skip_padding(self, size: int) -> None:
        if any(self._read(_padding(size))):
            raise self._error("backup-damaged", "holds something between its files")

    def _read(self, length: int) -> bytes:
        data = self._file.read(length, self._at)
        if len(data) != length:
            raise self._error(
                "backup-damaged", f"ends after {self._at + len(data)} bytes, too early"
            )
        self._at += length
        return data

    def _error(self, code: str, what: str) -> BackupError:
        return BackupError(
            code,
            f"The file {self._path} {what}.",
            "Use another backup; if it was copied or packed anew, take the original file.",
        )


def _manifest(found: dict[str, Any]) -> Manifest:
    vault, history = found["vault"], found["history"]
    created_at = datetime.fromisoformat(found["created_at"])
    if created_at.tzinfo is None:
        raise ValueError("a time without a zone")
    return Manifest(
        _typed(vault["id"], str),
        _typed(vault["name"], str),
        created_at,
        _typed(history["number"], int),
        bytes.fromhex(history["digest"]),
        tuple(map(_member, _typed(found["files"], list))),
    )


def _member(found: dict[str, Any]) -> Member:
    if _SUM.fullmatch(found["sha256"]) is None:
        raise ValueError("a sum that is not a SHA-256")
    return Member(_typed(found["name"], str), _typed(found["size"], int), found["sha256"])


def _typed(value: Any, kind: type[Any]) -> Any:  # noqa: ANN401 - JSON
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not {kind.__name__}")
    return value


def _is_intact(block: bytes) -> bool:
    try:
        told = int(block[148:156].rstrip(b"\0 "), 8)
    except ValueError:
        return False
    return told == sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _length_of_content(manifest: Manifest) -> int:
    sizes = [len(manifest.to_json()), *(item.size for item in manifest.members)]
    return sum(_BLOCK + size + _padding(size) for size in sizes)


def _length_of_end(content: int) -> int:
    """Return what follows so much content: two empty blocks, and what fills the last record."""
    return 2 * _BLOCK + -(content + 2 * _BLOCK) % _RECORD


def _padding(size: int) -> int:
    return -size % _BLOCK


def _padded(data: bytes) -> bytes:
    return data + bytes(_padding(len(data)))
