import json
from pathlib import Path

from rich.console import Console

from replikera.cli.disk_view import check_document, info_document, render_check, render_info
from replikera.system.files import SystemFiles
from replikera.vhdx.checking import check
from tests.unit.replikera.cli.running import squeezed
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_chain import child

FILES = SystemFiles()
MIB = 1 << 20


def shown(renderable: object) -> list[str]:
    console = Console(width=10_000)
    with console.capture() as captured:
        console.print(renderable)
    return squeezed(captured.get())


def test_a_child_without_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "child.vhdx"
    path.write_bytes(child({}))
    report = check(FILES, path)

    document = json.loads(json.dumps(info_document(report, 4096)))
    assert document["kind"] == "differencing"
    assert (document["size"], document["on_volume"], document["problems"]) == (4 * MIB, 4096, 1)
    assert document["parent"] == {
        "found": None,
        "paths": {"relative_path": ".\\parent.vhdx"},
        "linkages": [str(foreign_file.DATA_WRITE_ID)],
    }
    lines = shown(render_info(report, 4096))
    assert "parent missing" in lines
    assert "relative path .\\parent.vhdx" in lines
    assert f"parent linkage {foreign_file.DATA_WRITE_ID}" in lines


def test_a_check_names_each_problem(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    data = foreign_file.build()
    data[foreign_file.REGION_TABLES[1] + 20] ^= 1
    path.write_bytes(data)
    report = check(FILES, path)

    document = json.loads(json.dumps(check_document(report)))
    assert (document["is_sound"], document["would_replay_mend"]) == (False, False)
    assert document["region_tables"] == ["current", "invalid"]
    assert [each["problem"] for each in document["problems"]] == [
        "the second region table is damaged"
    ]
    lines = shown(render_check(report))
    assert "result damaged" in lines
    assert lines[-1].startswith("disk.vhdx the second region table is damaged The file still")


def test_what_is_not_known_is_never_shown_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    path.write_bytes(b"vhdxfile")
    report = check(FILES, path)

    assert check_document(report)["leaked"] is None
    assert "unused in the file unknown" in shown(render_check(report))
