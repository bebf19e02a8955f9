"""A recovered disk is equal only by the word of every reader."""

from dataclasses import replace
from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.evidence import DiskPair, Point, compare
from replikera.lab.witness import WitnessError
from replikera.ports.processes import Completed
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_child, create_image, open_path
from tests.support.lab import LabBench, make_bench

POINT = Point("generation", 3)
ABSENT = FileNotFoundError()
EQUAL, DIFFERENT = Completed(0, b"", b""), Completed(1, b"", b"")


def pair(tmp_path: Path, source: bytes, recovered: bytes) -> DiskPair:
    for name, content in (("source", source), ("recovered", recovered)):
        with SystemFiles().create(tmp_path / name) as file:
            image = create_image(file, size=4 << 20, randomness=SystemRandomness())
            image.write(content * 512, 1 << 20)
            image.close()
    return DiskPair("web01", "d1", tmp_path / "source", tmp_path / "recovered")


def bench_with(opinion: Completed | Exception) -> LabBench:
    bench = make_bench()
    bench.programs.answers["qemu-img"] = opinion
    return bench


async def test_equal_disks_have_one_digest(tmp_path: Path) -> None:
    found = await compare(bench_with(EQUAL).machine, pair(tmp_path, b"x", b"x"), POINT)
    assert found.is_equal
    assert found.source_sha256 == found.recovered_sha256
    assert (found.readers, found.problem) == (("witness", "qemu-img"), "")


async def test_a_wrong_recovered_disk_is_different(tmp_path: Path) -> None:
    found = await compare(bench_with(DIFFERENT).machine, pair(tmp_path, b"x", b"y"), POINT)
    assert not found.is_equal
    assert found.source_sha256 != found.recovered_sha256
    assert found.problem == ""


@pytest.mark.parametrize(("recovered", "opinion"), [(b"x", DIFFERENT), (b"y", EQUAL)])
async def test_readers_that_disagree_make_it_red(
    tmp_path: Path, recovered: bytes, opinion: Completed
) -> None:
    found = await compare(bench_with(opinion).machine, pair(tmp_path, b"x", recovered), POINT)
    assert not found.is_equal
    assert "qemu-img finds them" in found.problem


async def test_without_qemu_the_witness_decides_alone(tmp_path: Path) -> None:
    found = await compare(bench_with(ABSENT).machine, pair(tmp_path, b"x", b"x"), POINT)
    assert found.is_equal
    assert found.readers == ("witness",)


async def test_of_a_child_only_the_witness_is_asked(tmp_path: Path) -> None:
    disks = pair(tmp_path, b"x", b"x")
    files, randomness = SystemFiles(), SystemRandomness()
    with files.create(tmp_path / "child") as file:
        parent = open_path(files, disks.recovered)
        create_child(file, parent, parent_path=disks.recovered, randomness=randomness).close()
    child = replace(disks, recovered=tmp_path / "child")
    found = await compare(bench_with(DIFFERENT).machine, child, POINT)
    assert found.is_equal
    assert found.readers == ("witness",)


async def test_a_disk_that_is_none_is_an_error(tmp_path: Path) -> None:
    disks = pair(tmp_path, b"x", b"x")
    disks.recovered.write_bytes(b"not a disk")
    with pytest.raises(WitnessError, match="signature"):
        await compare(bench_with(EQUAL).machine, disks, POINT)


async def test_a_reader_that_fails_is_not_passed_over(tmp_path: Path) -> None:
    broken = Completed(2, b"", b"cannot open")
    with pytest.raises(LabError, match="cannot open"):
        await compare(bench_with(broken).machine, pair(tmp_path, b"x", b"x"), POINT)
