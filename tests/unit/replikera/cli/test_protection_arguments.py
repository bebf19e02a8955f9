import pytest
import typer

from replikera.cli.protection_arguments import DiskSeed, parse_seed


def test_a_seed_is_a_disk_and_a_file() -> None:
    assert parse_seed("os.vhdx=copy=1.vhdx") == DiskSeed("os.vhdx", "copy=1.vhdx")


@pytest.mark.parametrize("text", ["", "os.vhdx", "=a", "os.vhdx=", "os.vhdx=a/b", "os.vhdx=a\\b"])
def test_half_a_seed_or_a_path_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="DISK=FILE"):
        parse_seed(text)
