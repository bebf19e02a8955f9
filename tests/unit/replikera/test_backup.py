import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from replikera.backup import (
    MAX_AUTHORITY_BYTES,
    MAX_FILE_BYTES,
    BackupError,
    Manifest,
    Member,
    archive_size,
    beginning,
    ending,
    header,
    padding,
    read_manifest,
    unpack,
)
from replikera.system.files import SystemFiles

FILES = SystemFiles()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENTS = {
    "vault.db": bytes(range(256)) * 5000 + b"end",
    "authority/root.pem": b"root",
    "authority/issuing-key.pem": b"k" * 512,
    "authority/issuing.pem": b"",
}


def member(name: str, content: bytes) -> Member:
    return Member(name, len(content), hashlib.sha256(content).hexdigest())


def manifest(contents: dict[str, bytes] = CONTENTS) -> Manifest:
    members = tuple(member(name, content) for name, content in contents.items())
    return Manifest("v-1", "home", NOW, 17, b"d" * 32, members)


def archive(contents: dict[str, bytes] = CONTENTS, told: Manifest | None = None) -> bytes:
    told = told or manifest(contents)
    parts = [beginning(told)]
    for name, content in contents.items():
        parts += [header(name, len(content), NOW), content, padding(len(content))]
    return b"".join([*parts, ending(told)])


def write(folder: Path, data: bytes) -> Path:
    path = folder / "backup.tar"
    path.write_bytes(data)
    return path


def refused(folder: Path, data: bytes) -> BackupError:
    path = write(folder, data)
    with pytest.raises(BackupError) as caught:
        unpack(FILES, path, folder / "out")
    assert str(path) in caught.value.cause
    assert caught.value.remedy
    return caught.value


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    data = archive()
    assert len(data) == archive_size(manifest())
    path = write(tmp_path, data)
    assert read_manifest(FILES, path) == manifest()
    assert unpack(FILES, path, tmp_path / "out") == manifest()
    found = {
        str(at.relative_to(tmp_path / "out")): at.read_bytes()
        for at in (tmp_path / "out").rglob("*")
        if at.is_file()
    }
    assert found == CONTENTS


def test_what_comes_out_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    unpack(FILES, write(tmp_path, archive()), tmp_path / "out")
    assert all(at.stat().st_mode & 0o077 == 0 for at in (tmp_path / "out").rglob("*"))


def test_any_tar_reads_it(tmp_path: Path) -> None:
    with tarfile.open(write(tmp_path, archive()), "r:") as tar:
        assert tar.getnames() == ["manifest.json", *CONTENTS]
        for item in tar.getmembers():
            assert (item.mode, item.mtime, item.isreg()) == (0o600, NOW.timestamp(), True)
        file = tar.extractfile("vault.db")
        assert file is not None
        assert file.read() == CONTENTS["vault.db"]


def test_the_manifest_tells_what_it_is_of(tmp_path: Path) -> None:
    content = json.loads(manifest().to_json())
    assert content["format"] == "replikera-vault-backup"
    assert content["version"] == 1
    assert content["vault"] == {"id": "v-1", "name": "home"}
    assert content["history"] == {"number": 17, "digest": (b"d" * 32).hex()}
    assert content["created_at"] == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 600, 3000, 700_000, -10_240, -1025])
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, cut: int) -> None:
    data = archive()
    assert refused(tmp_path, data[:cut]).code == "backup-damaged"


@pytest.mark.parametrize("more", [b"x", bytes(20_480), b"\0" * 511 + b"x"])
def test_a_file_with_something_behind_its_end_is_refused(tmp_path: Path, more: bytes) -> None:
    assert refused(tmp_path, archive() + more).code == "backup-damaged"


def test_a_changed_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    data = archive({name: content[:2000] for name, content in CONTENTS.items()})
    harmless = 0
    for at in range(0, len(data), 37):
        changed = bytearray(data)
        changed[at] ^= 0x40
        path = write(tmp_path, bytes(changed))
        FILES.remove_tree(tmp_path / "out")
        try:
            found = unpack(FILES, path, tmp_path / "out")
        except BackupError:
            continue
        # Only what the manifest says of the vault itself can differ; the database is compared with that.
        assert found.members == manifest({n: c[:2000] for n, c in CONTENTS.items()}).members
        harmless += 1
    assert harmless < 20


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return an archive whose manifest was changed and is whole otherwise."""
    content = json.loads(manifest().to_json())
    change(content)
    text = json.dumps(content).encode()
    data = archive()
    return (
        header("manifest.json", len(text), NOW)
        + text
        + padding(len(text))
        + data[len(beginning(manifest())) :]
    )


def set_file(**more: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["files"][1].update(more)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../vault.db",
        "authority/../vault.db",
        "authority/..",
        "authority/",
        "authority/sub/root.pem",
        "authority/.hidden.pem",
        "authority/root.pem\0",
        "authority\\root.pem",
        "passphrase",
        "authority/" + "a" * 200 + ".pem",
        5,
        None,
    ],
)
def test_a_name_that_no_backup_has_is_refused(tmp_path: Path, name: object) -> None:
    assert refused(tmp_path, edited(set_file(name=name))).code == "backup-damaged"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [-1, MAX_AUTHORITY_BYTES + 1, True, 1.5, "4", 5])
def test_a_size_that_is_not_its_is_refused(tmp_path: Path, size: object) -> None:
    assert refused(tmp_path, edited(set_file(size=size))).code == "backup-damaged"


def test_a_database_beyond_what_the_format_can_hold_is_refused(tmp_path: Path) -> None:
    data = edited(lambda content: content["files"][0].update(size=MAX_FILE_BYTES + 1))
    assert refused(tmp_path, data).code == "backup-damaged"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sha256", ["0" * 64, "x" * 64, "", None])
def test_a_wrong_sum_is_refused(tmp_path: Path, sha256: object) -> None:
    assert refused(tmp_path, edited(set_file(sha256=sha256))).code == "backup-damaged"


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["files"].append(content["files"][0]),
        lambda content: content["files"].pop(0),
        lambda content: content["files"].reverse(),
        lambda content: content["files"].pop(),
        lambda content: content.update(files=None),
        lambda content: content.update(files=[1]),
        lambda content: content.pop("vault"),
        lambda content: content.update(created_at="yesterday"),
        lambda content: content.update(created_at="2026-03-01T12:00:00"),
        lambda content: content["history"].update(digest="xyz"),
        lambda content: content["history"].update(number="17"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    assert refused(tmp_path, edited(change)).code == "backup-damaged"


def test_a_version_of_the_format_that_is_not_known_is_told(tmp_path: Path) -> None:
    error = refused(tmp_path, edited(lambda content: content.update(version=2)))
    assert error.code == "backup-newer"
    assert "version 2" in error.cause
    assert "newer" in error.remedy


def plain_tar(*items: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for item, content in items:
            item.size = len(content)
            tar.addfile(item, io.BytesIO(content))
    return stream.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.type, item.linkname = kind, target
    return item


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        b"x",
        b"L",
    ],
)
def test_what_is_not_a_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    told = manifest()
    data = plain_tar(
        (named("manifest.json"), told.to_json()), (named("vault.db", kind, "/etc/passwd"), b"")
    )
    assert refused(tmp_path, data).code == "backup-damaged"
    assert not (tmp_path / "out" / "vault.db").exists()


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    told = manifest({"vault.db": b"db"})
    for name in ("other", "../vault.db", "/vault.db", "vault.db"):
        data = plain_tar(
            (named("manifest.json"), told.to_json()),
            (named("vault.db"), b"db"),
            (named(name), b"db"),
        )
        FILES.remove_tree(tmp_path / "out")
        assert refused(tmp_path, data).code == "backup-damaged"


def test_a_name_in_two_parts_is_refused(tmp_path: Path) -> None:
    block = bytearray(header("vault.db", 2, NOW))
    block[345:348] = b"../"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    told = manifest({"vault.db": b"db"})
    data = beginning(told) + bytes(block) + b"db" + padding(2) + ending(told)
    assert refused(tmp_path, data).code == "backup-damaged"


@pytest.mark.parametrize("data", [b"", b"x" * 5000, bytes(10_240)])
def test_a_file_that_is_no_backup_is_told(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data).code in {"backup-not-one", "backup-damaged"}


def test_another_archive_is_no_backup(tmp_path: Path) -> None:
    foreign = plain_tar((named("manifest.json"), b'{"format": "other"}'))
    assert refused(tmp_path, foreign).code == "backup-not-one"
    for text in (b"[]", b"1", b"{", b"{}", b"[" * 5000):
        data = plain_tar((named("manifest.json"), text))
        assert refused(tmp_path, data).code == "backup-damaged"
    big = plain_tar((named("manifest.json"), b" " * 70_000))
    assert "manifest of 70000 bytes" in refused(tmp_path, big).cause


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vault.db").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        unpack(FILES, write(tmp_path, archive()), tmp_path / "out")
    assert (tmp_path / "out" / "vault.db").read_bytes() == b"mine"
