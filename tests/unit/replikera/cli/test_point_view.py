import io

from rich.console import Console, RenderableType

from replikera.cli.point_view import COLUMNS, render_point, render_retention, row
from tests.unit.replikera.cli.running import squeezed


def rendered(shown: RenderableType) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=200).print(shown)
    return squeezed(text.getvalue())


def test_a_row_has_every_column() -> None:
    assert len(row({})) == len(COLUMNS)


def test_what_is_not_told_is_unknown_and_not_nothing() -> None:
    assert row({})[-1] == "unknown"
    assert row({"retained_until": None})[-1] == "newest"
    assert rendered(render_point({}))[0] == "point unknown"
    lines = rendered(render_retention({}))
    assert lines == [f"{line.rsplit(' ', 1)[0]} unknown" for line in lines]


def test_points_that_are_not_there_are_none() -> None:
    lines = rendered(render_retention({"count": 0, "oldest": None, "newest": None}))
    assert "points 0" in lines
    assert "oldest none" in lines
    assert "newest none" in lines
