import pytest
import typer

from replikera.cli.byte_sizes import ByteSize, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512", 512),
        ("64K", 64 << 10),
        ("2m", 2 << 20),
        ("10G", 10 << 30),
        (" 3GiB ", 3 << 30),
        ("64T", 64 << 40),
    ],
)
def test_sizes_are_a_number_and_a_unit(text: str, count: int) -> None:
    assert parse_size(text) == ByteSize(count)


@pytest.mark.parametrize("text", ["", "0", "0G", "G", "1.5G", "-1G", "10 G", "10GB", "1P", "٣G"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 512M or 10G"):
        parse_size(text)
