import pytest
import typer
from typer.testing import CliRunner

from replikera.cli.invocation import Invocation
from replikera.cli.leaf import Leaf
from replikera.cli.listing import present_list


def show(answer: dict[str, object], *options: str) -> tuple[int, str, str]:
    app = typer.Typer(add_completion=False)

    @app.command(cls=Leaf)
    def command(context: typer.Context) -> None:
        present_list(
            context,
            answer,
            columns=("name",),
            row=lambda item: (item.get("name"),),
            none="There is none.",
            next_when_none="make one",
            next_command="use one",
        )

    result = CliRunner().invoke(app, options, obj=Invocation())
    return result.exit_code, result.stdout, result.stderr


def test_items_are_rows_and_the_hint_follows() -> None:
    code, out, err = show({"items": [{"name": "a"}, {"name": "b"}]})
    assert (code, out.split(), err) == (0, ["NAME", "a", "b"], "next: use one\n")


def test_nothing_is_said_in_words_on_standard_error() -> None:
    assert show({"items": []}) == (0, "", "There is none.\nnext: make one\n")


def test_nothing_is_an_empty_list_for_programs() -> None:
    assert show({"items": []}, "-o", "json") == (0, '{\n  "items": []\n}\n', "")


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": {}}])
def test_an_answer_that_is_no_list_is_an_error(answer: dict[str, object]) -> None:
    code, out, err = show(answer)
    assert (code, out) == (1, "")
    assert "list without items" in err
