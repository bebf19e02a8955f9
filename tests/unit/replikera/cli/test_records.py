import pytest

from replikera.cli.errors import AnswerError
from replikera.cli.records import field, records, required_text


def test_missing_parts_of_a_path_are_none() -> None:
    assert field({"a": {"b": 1}}, "a", "b") == 1
    assert field({"a": {"b": 1}}, "a", "c") is None
    assert field({"a": None}, "a", "b") is None
    assert field({"a": [1]}, "a", "b") is None


def test_only_objects_of_a_list_are_records() -> None:
    assert records({"items": [{"a": 1}, "x", None]}, "items") == [{"a": 1}]
    assert records({"items": {"a": 1}}, "items") == []
    assert records({}, "items") == []


@pytest.mark.parametrize("value", [None, "", 7])
def test_an_answer_without_what_is_needed_is_refused(value: object) -> None:
    assert required_text({"id": "7"}, "id", "a job") == "7"
    with pytest.raises(AnswerError, match="a job without id"):
        required_text({"id": value}, "id", "a job")
