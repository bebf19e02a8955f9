import pytest
from pydantic import ValidationError

from coordinator.store.paging import Page
from coordinator.web.models import Listing, ListQuery, NoBody, NoQuery, listing


def test_a_page_is_shown_with_its_own_items() -> None:
    shown: Listing[str] = listing(Page((1, 2), "next"), ["one", "two"])
    assert (shown.items, shown.next_cursor) == (["one", "two"], "next")
    assert Listing[str](items=[], next_cursor=None).model_dump_json() == (
        '{"items":[],"next_cursor":null}'
    )


def test_nothing_more_than_is_named_is_taken() -> None:
    for model in (NoBody, NoQuery, ListQuery):
        assert model.model_validate({}) is not None
        with pytest.raises(ValidationError):
            model.model_validate({"more": "1"})


@pytest.mark.parametrize("limit", [0, 1001, "x"])
def test_a_page_is_bounded(limit: object) -> None:
    with pytest.raises(ValidationError):
        ListQuery.model_validate({"limit": limit})
