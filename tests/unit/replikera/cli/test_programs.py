from pathlib import Path

from replikera.cli.programs import with_full_path


def test_the_program_is_the_one_of_this_installation() -> None:
    program, *rest = with_full_path(("replikera-agent", "run"))
    assert Path(program).is_file()
    assert Path(program).name == "replikera-agent"
    assert rest == ["run"]
