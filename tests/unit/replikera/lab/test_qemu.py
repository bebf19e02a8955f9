"""What qemu-img says becomes an opinion, no opinion, or an error."""

from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.qemu import are_equal
from replikera.ports.processes import Completed
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_image
from tests.support import oracles
from tests.support.lab import ScriptedProcesses

A, B = Path("a.vhdx"), Path("b.vhdx")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(Completed(0, b"", b""), True), (Completed(1, b"", b""), False), (FileNotFoundError(), None)],
)
async def test_the_exit_code_is_the_opinion(
    answer: Completed | Exception, *, expected: bool | None
) -> None:
    programs = ScriptedProcesses({"qemu-img compare": answer})
    assert await are_equal(programs, A, B) is expected
    assert programs.ran == ["qemu-img compare -q -f vhdx -F vhdx a.vhdx b.vhdx"]


async def test_a_file_that_qemu_cannot_open_is_an_error_and_not_a_difference() -> None:
    programs = ScriptedProcesses({"qemu-img compare": Completed(2, b"", b"no VHDX\n")})
    with pytest.raises(LabError, match=r"cannot compare a.vhdx with b.vhdx: no VHDX"):
        await are_equal(programs, A, B)


@pytest.mark.parametrize(("byte", "expected"), [(b"x", True), (b"y", False)])
async def test_the_real_program_finds_one_different_sector(
    tmp_path: Path, byte: bytes, *, expected: bool
) -> None:
    oracles.qemu_img()
    for name, content in (("a", b"x"), ("b", byte)):
        with SystemFiles().create(tmp_path / name) as file:
            image = create_image(file, size=8 << 20, randomness=SystemRandomness())
            image.write(content * 512, 5 << 20)
            image.close()
    found = await are_equal(SystemProcesses(), tmp_path / "a", tmp_path / "b")
    assert found is expected
