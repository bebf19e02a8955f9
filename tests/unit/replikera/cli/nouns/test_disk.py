import hashlib
import json
from pathlib import Path

import pytest

from replikera.system.files import SystemFiles
from replikera.vhdx import open_image
from tests.unit.replikera.cli.running import Cli, squeezed
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import Block, child
from tests.unit.replikera.vhdx.foreign_file import MIB, entry

FILES = SystemFiles()


@pytest.fixture
def bare(tmp_path: Path) -> Cli:
    """No profile: these commands need none."""
    return Cli(tmp_path / "nowhere")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.vhdx"
    path.write_bytes(foreign_file.build(entries={1: entry(6, 4)}, file_mib=4) + b"\7" * MIB)
    return path


@pytest.fixture
def flat() -> bytes:
    return bytes(MIB) + b"\7" * MIB + bytes(2 * MIB)


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    path = tmp_path / "dirty.vhdx"
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers)
    data[MIB : 2 * MIB] = foreign_log.write_log([foreign_log.Entry(5)])
    path.write_bytes(data)
    return path


def test_a_new_disk_is_dynamic_and_empty(bare: Cli, tmp_path: Path) -> None:
    path = str(tmp_path / "new.vhdx")
    command = ["disk", "create", path, "--size", "10G", "--block-size", "32M", "--sector", "4096"]
    result = bare.run(*command)
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert result.stderr == f"next: replikera disk info {path}\n"

    found = json.loads(bare.run("disk", "info", path, "-o", "json").stdout)
    assert (found["kind"], found["size"], found["allocated"]) == ("dynamic", 10 << 30, 0)
    assert (found["block_size"], found["logical_sector_size"]) == (32 << 20, 4096)
    assert (found["log"], found["problems"], found["parent"]) == ("empty", 0, None)
    assert bare.run("disk", "check", path).exit_code == 0

    again = bare.run(*command)
    assert (again.exit_code, again.stderr) == (
        7,
        f"error: {path} exists.\nremedy: Name another file.\n",
    )


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        (["--size", "soon"], 2),
        (["--size", "65T"], 2),
        (["--size", "100"], 2),
        (["--size", "1G", "--sector", "1024"], 2),
        (["--size", "1G", "--block-size", "3M"], 2),
        ([], 2),
    ],
)
def test_wrong_sizes_make_nothing(
    bare: Cli, tmp_path: Path, options: list[str], exit_code: int
) -> None:
    path = tmp_path / "new.vhdx"
    result = bare.run("disk", "create", str(path), *options)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert not path.exists()


def test_a_fixed_disk_is_as_long_as_its_disk(bare: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new.vhdx"
    assert bare.run("disk", "create", str(path), "--size", "64M", "--fixed").exit_code == 0
    found = json.loads(bare.run("disk", "info", str(path), "-o", "json").stdout)
    assert (found["kind"], found["size"]) == ("fixed", 64 << 20)
    assert path.stat().st_size >= 64 << 20


def test_a_disk_over_a_parent_reads_as_the_parent(
    bare: Cli, disk: Path, tmp_path: Path, flat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "children").mkdir()
    monkeypatch.chdir(tmp_path)
    result = bare.run("disk", "create", "children/new.vhdx", "--parent", "disk.vhdx")
    assert result.exit_code == 0, result.stderr

    monkeypatch.chdir("/")
    path = str(tmp_path / "children" / "new.vhdx")
    found = json.loads(bare.run("disk", "info", path, "-o", "json").stdout)
    assert (found["kind"], found["size"], found["problems"]) == ("differencing", 4 * MIB, 0)
    digest = bare.run("disk", "digest", path).stdout.strip()
    assert digest == hashlib.sha256(flat).hexdigest()


def test_a_disk_over_a_parent_has_its_sizes(bare: Cli, disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.vhdx"
    result = bare.run("disk", "create", str(path), "--parent", str(disk), "--size", "1G")
    assert (result.exit_code, path.exists()) == (2, False)
    assert "Leave --size" in result.stderr


def test_a_disk_over_a_damaged_parent_is_not_made(bare: Cli, tmp_path: Path) -> None:
    path, parent = tmp_path / "new.vhdx", tmp_path / "parent.vhdx"
    parent.write_bytes(b"conectix")
    result = bare.run("disk", "create", str(path), "--parent", str(parent))
    assert (result.exit_code, path.exists()) == (1, False)
    assert f"{parent}: it is not a VHDX file" in result.stderr


def test_info_for_people(bare: Cli, disk: Path) -> None:
    result = bare.run("disk", "info", str(disk))
    assert result.exit_code == 0, result.stderr
    lines = squeezed(result.stdout)
    assert "kind dynamic" in lines
    assert "size 4.0 MiB" in lines
    assert "allocated 1.0 MiB" in lines
    assert "sectors 512 logical, 4096 physical" in lines
    assert result.stderr == ""


def test_info_of_a_damaged_file_leads_to_the_check(bare: Cli, tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    path.write_bytes(foreign_file.build(entries={0: entry(6, 99)}))
    result = bare.run("disk", "info", str(path))
    assert result.exit_code == 0
    assert "allocated unknown" in squeezed(result.stdout)
    assert result.stderr == f"Problems found: 1.\nnext: replikera disk check {path}\n"


def test_info_of_something_else_is_refused(bare: Cli, tmp_path: Path) -> None:
    path = tmp_path / "disk.vhd"
    path.write_bytes(b"conectix")
    result = bare.run("-o", "json", "disk", "info", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    problem = json.loads(result.stderr)
    assert (problem["code"], problem["detail"]) == (
        "disk-refused",
        f"{path}: it is not a VHDX file",
    )
    assert "Convert-VHD" in problem["remedy"]


def test_a_check_tells_that_a_replay_mends(bare: Cli, dirty: Path) -> None:
    before = dirty.read_bytes()
    result = bare.run("disk", "check", str(dirty), "-o", "json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    assert (found["is_sound"], found["would_replay_mend"], found["log"]) == (False, True, "dirty")
    assert "result a replay of its log would mend it" in squeezed(
        bare.run("disk", "check", str(dirty)).stdout
    )
    assert dirty.read_bytes() == before


def test_the_digest_is_one_line_that_can_be_piped(bare: Cli, disk: Path, flat: bytes) -> None:
    expected = hashlib.sha256(flat).hexdigest()
    assert bare.run("disk", "digest", str(disk)).stdout == f"{expected}\n"
    found = json.loads(bare.run("disk", "digest", str(disk), "-o", "json").stdout)
    assert found == {"file": str(disk), "size": 4 * MIB, "sha256": expected}


def test_a_child_is_digested_and_exported_with_its_parent(bare: Cli, tmp_path: Path) -> None:
    parent = foreign_file.build(entries={1: entry(6, 4)}, file_mib=4) + b"\7" * MIB
    (tmp_path / "parent.vhdx").write_bytes(parent)
    block = Block(7, b"\1" * MIB, frozenset({3}))
    (tmp_path / "child.vhdx").write_bytes(child({1: block}))
    flat = bytearray(bytes(MIB) + b"\7" * MIB + bytes(2 * MIB))
    flat[MIB + 3 * 512 : MIB + 4 * 512] = b"\1" * 512

    source, target = str(tmp_path / "child.vhdx"), tmp_path / "flat.raw"
    digest = bare.run("disk", "digest", source).stdout.strip()
    result = bare.run("disk", "export", source, str(target))
    assert (result.exit_code, result.stdout) == (0, f"{target}\n"), result.stderr
    assert target.read_bytes() == flat
    assert digest == hashlib.sha256(flat).hexdigest()


def test_an_existing_target_asks_for_force(bare: Cli, disk: Path, flat: bytes) -> None:
    target = disk.with_name("flat.raw")
    target.write_bytes(b"precious")
    refused = bare.run("disk", "export", str(disk), str(target))
    assert (refused.exit_code, target.read_bytes()) == (7, b"precious")
    assert "--force" in refused.stderr

    forced = bare.run("disk", "export", str(disk), str(target), "--force", "-o", "json")
    assert json.loads(forced.stdout) == {"file": str(target), "size": 4 * MIB, "written": MIB}
    assert target.read_bytes() == flat


def test_force_never_replaces_what_is_read(bare: Cli, tmp_path: Path) -> None:
    parent, leaf = tmp_path / "parent.vhdx", tmp_path / "child.vhdx"
    parent.write_bytes(foreign_file.build())
    leaf.write_bytes(child({}))
    link = tmp_path / "link.vhdx"
    link.symlink_to(leaf)
    (tmp_path / "folder").mkdir()
    detour = tmp_path / "folder" / ".." / "parent.vhdx"
    for source, target in [(leaf, leaf), (leaf, parent), (leaf, detour), (link, leaf)]:
        before = target.read_bytes()
        result = bare.run("disk", "export", str(source), str(target), "--force")
        assert result.exit_code == 1, (source, target)
        assert "belongs to the disk that is exported" in result.stderr
        assert target.read_bytes() == before


@pytest.mark.parametrize("verb", ["info", "check", "digest"])
def test_a_missing_file_ends_with_6(bare: Cli, tmp_path: Path, verb: str) -> None:
    result = bare.run("disk", verb, str(tmp_path / "none.vhdx"))
    assert (result.exit_code, result.stdout) == (6, "")
    assert "none.vhdx does not exist" in result.stderr


def test_a_damaged_disk_is_neither_digested_nor_exported(bare: Cli, tmp_path: Path) -> None:
    path, target = tmp_path / "disk.vhdx", tmp_path / "flat.raw"
    path.write_bytes(foreign_file.build(entries={0: entry(6, 99)}))
    for command in (["digest", str(path)], ["export", str(path), str(target)]):
        result = bare.run("disk", *command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "block 0 lies outside the file" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_a_created_disk_can_be_written(bare: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new.vhdx"
    assert bare.run("disk", "create", str(path), "--size", "1G").exit_code == 0
    file = FILES.open_write(path)
    with open_image(file, writable=True, randomness=SeededRandomness(2)) as image:
        image.write(b"x" * 512, 512)
    assert json.loads(bare.run("disk", "check", str(path), "-o", "json").stdout)["is_sound"]
