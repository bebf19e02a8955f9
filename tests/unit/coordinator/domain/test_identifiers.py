import pytest

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import check_label, check_name


@pytest.mark.parametrize("name", ["a", "web 01", "Büro-Süd", "x" * 100, "a:b (old)"])
def test_ordinary_names_are_taken_as_they_are(name: str) -> None:
    assert check_name("policy", name, "name") == name


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a/b", "a\tb", "a\x1b[31m", "x" * 101, "\u202eevil"]
)
def test_a_name_that_would_mislead_in_a_path_or_a_table_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_name("policy", name, "the_field")
    assert caught.value.field == "the_field"
    assert "policy" in caught.value.cause


@pytest.mark.parametrize("label", ["a", "ann-lee", "A9", "x" * 63])
def test_a_dns_label_is_taken(label: str) -> None:
    assert check_label("operator", label, "name") == label


@pytest.mark.parametrize("label", ["", "-a", "a-", "a.b", "a b", "ä", "x" * 64, "a/b", "a\n"])
def test_what_is_not_one_dns_label_cannot_be_in_a_certificate(label: str) -> None:
    with pytest.raises(InvalidValueError):
        check_label("operator", label, "name")
