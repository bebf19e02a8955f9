import pytest

from replikera.export_names import MAX_LENGTH, ExportFormat, export_format


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web01.vhdx", ExportFormat.VHDX),
        ("web01 of monday.raw", ExportFormat.RAW),
        ("a.b-c_d.vhdx", ExportFormat.VHDX),
        ("0.raw", ExportFormat.RAW),
    ],
)
def test_a_plain_name_tells_its_format(name: str, expected: ExportFormat) -> None:
    assert export_format(name) is expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web01",
        "web01.qcow2",
        ".vhdx",
        ".hidden.vhdx",
        "../up.vhdx",
        "a/b.vhdx",
        "a\\b.vhdx",
        "c:b.vhdx",
        "web01.vhdx\n",
        "web\0.vhdx",
        "wéb.vhdx",
        "NUL.vhdx",
        "com1.raw",
        "x" * MAX_LENGTH + ".raw",
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_is_none(name: str) -> None:
    assert export_format(name) is None
