"""What the bodies of requests and answers, and query parameters, are made of."""

from collections.abc import Iterable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from coordinator.store.paging import DEFAULT_LIMIT, MAX_LIMIT, Page

Item = TypeVar("Item")
Text = Annotated[str, Field(min_length=1, max_length=255)]


class Input(BaseModel):
    """What a request says: its body or its query parameters."""


class RequestBody(Input):
    """Strict: no unknown fields, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoBody(RequestBody):
    """A request that says everything in its path."""


class Query(Input):
    """The query parameters of a path: text that is read as what the field is. Unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Query):
    """A path without query parameters."""


class ListQuery(Query):
    """Which part of a list is asked for."""

    limit: int = Field(
        default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="How many items the answer may have."
    )
    cursor: str | None = Field(
        default=None, max_length=4096, description="The `next_cursor` of the page before."
    )


class Answer(BaseModel):
    """What the vault says."""

    model_config = ConfigDict(frozen=True)


class Listing(Answer, Generic[Item]):
    """A page of a list; null for `next_cursor` says that it is the last."""

    items: list[Item]
    next_cursor: str | None


class FieldProblem(Answer):
    """What is wrong with one field of a request."""

    pointer: str
    detail: str


class Problem(Answer):
    """An error (RFC 9457) with a stable code and a remedy."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    errors: list[FieldProblem] | None = None


def listing(page: Page[Any], items: Iterable[Item]) -> Listing[Item]:
    """Return a page with its items as the API shows them."""
    return Listing(items=list(items), next_cursor=page.next_cursor)
