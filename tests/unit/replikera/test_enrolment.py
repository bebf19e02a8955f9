"""The join line."""

import pytest

from replikera.enrolment import JoinLine, JoinLineError, parse_join_line

LINE = JoinLine("0123456789abcdef", "A" * 43, "vault.example:7443", "ab" * 32)


def test_a_line_reads_back_with_white_space_around_it() -> None:
    assert parse_join_line(f"  {LINE.format()}\n") == LINE


@pytest.mark.parametrize(
    "text",
    [
        "",
        LINE.format()[:-1],
        LINE.format() + "0",
        LINE.format().replace("rk1/", "rk2/"),
        LINE.format().replace("0123", "XYZ3"),
    ],
)
def test_a_line_that_is_not_whole_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(JoinLineError) as caught:
        parse_join_line(text)
    assert "replikera host invite" in str(caught.value)
    assert "A" * 43 not in str(caught.value)


def test_the_secret_is_not_in_the_representation() -> None:
    assert "A" * 43 not in repr(LINE)
