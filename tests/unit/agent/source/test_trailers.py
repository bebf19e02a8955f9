from pathlib import Path

import pytest

from agent.hypervisor.interface import Consistency
from agent.source.trailers import trailer_of
from replikera.blocks.segment import PointKind, decode_trailer
from tests.support.source_parts import SourceParts


@pytest.mark.parametrize(
    ("consistency", "fallback", "kind"),
    [
        (Consistency.CRASH, "", PointKind.CRASH_CONSISTENT),
        (Consistency.APPLICATION, "", PointKind.APPLICATION_CONSISTENT),
        (Consistency.APPLICATION, "a writer failed", PointKind.CRASH_CONSISTENT),
    ],
)
async def test_a_point_is_what_its_view_was(
    tmp_path: Path, consistency: Consistency, fallback: str, kind: PointKind
) -> None:
    parts = SourceParts(tmp_path)
    parts.hypervisor.fallback = fallback
    capture = await parts.views.take((), consistency)
    trailer = decode_trailer(trailer_of(capture, None, records=3, payload_bytes=4))
    assert trailer.kind is kind
    assert (trailer.records, trailer.payload_bytes, trailer.machine) == (3, 4, None)
    assert trailer.capture_started_at == capture.started_at
    assert trailer.capture_ended_at == capture.view.taken_at
    assert trailer.disks == capture.geometries
