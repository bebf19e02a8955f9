import pytest

from replikera.vhdx import layout


def test_a_checksummed_structure_is_sound_and_one_flipped_bit_is_not() -> None:
    sealed = layout.with_checksum(b"head" + bytes(4) + b"content".ljust(4088, b"\0"))
    flipped = bytearray(sealed)
    flipped[4000] ^= 1

    assert layout.is_sound(sealed, b"head")
    assert not layout.is_sound(sealed, b"regi")
    assert not layout.is_sound(bytes(flipped), b"head")


def test_structures_have_the_sizes_of_the_specification() -> None:
    sizes = {
        layout.FILE_TYPE_IDENTIFIER: 520,
        layout.HEADER: 80,
        layout.REGION_TABLE_HEADER: 16,
        layout.REGION_TABLE_ENTRY: 32,
        layout.METADATA_TABLE_HEADER: 32,
        layout.METADATA_TABLE_ENTRY: 32,
    }

    assert [structure.size for structure in sizes] == list(sizes.values())


@pytest.mark.parametrize(
    ("size", "is_allowed"),
    [
        (1 << 20, True),
        (256 << 20, True),
        (512 << 10, False),
        (3 << 20, False),
        (512 << 20, False),
        (0, False),
    ],
)
def test_block_sizes_are_powers_of_two_of_1_to_256_mib(size: int, is_allowed: bool) -> None:
    assert layout.is_block_size(size) is is_allowed
