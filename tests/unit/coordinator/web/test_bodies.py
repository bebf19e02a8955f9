import pytest
from pydantic import ValidationError

from coordinator.domain.jobs import JobKind, JobState
from coordinator.web.bodies import accepted, answer, read_body
from coordinator.web.models import CleanUpRequest, JobAnswer, PolicyRequest
from coordinator.web.problems import BadRequestError
from tests.unit.coordinator.examples import NOW
from tests.unit.coordinator.requests import body_of, request

JOB = JobAnswer(
    id="j",
    kind=JobKind.ENABLE_PROTECTION,
    subject="web",
    state=JobState.RUNNING,
    tasks=[],
    cause=None,
    remedy=None,
    created_at=NOW,
    finished_at=None,
    progress=None,
)


async def test_a_body_is_read_as_its_model_and_an_empty_one_as_an_empty_object() -> None:
    body = {"name": "p", "copy_frequency_seconds": 5, "retention_hours": 1}
    assert (await read_body(request(body=body), PolicyRequest)).copy_frequency_seconds == 5
    assert (await read_body(request(), CleanUpRequest)).notes == ""


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 100_000, b"'a'"])
async def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        await read_body(request(raw=raw), CleanUpRequest)


@pytest.mark.parametrize("body", [[], 5, "x", {"notes": 5}, {"note": "x"}])
async def test_what_is_not_the_model_is_refused(body: object) -> None:
    with pytest.raises(ValidationError):
        await read_body(request(body=body), CleanUpRequest)


def test_an_answer_keeps_what_is_unknown_and_writes_times_in_utc() -> None:
    document = body_of(answer(JOB))
    assert document["finished_at"] is None
    assert document["created_at"] == "2026-03-01T12:00:00.123456Z"
    assert document["kind"] == "enable-protection"


def test_long_work_says_where_to_follow_it() -> None:
    response = accepted(JOB)
    assert (response.status, response.headers["Location"]) == (202, "/api/v1/jobs/j")
