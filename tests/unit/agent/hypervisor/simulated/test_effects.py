import json

from tests.support.simulated_host import Bed


def test_every_effect_is_a_line(bed: Bed) -> None:
    bed.effects.record("view-taken", "v1", "p1")
    bed.effects.record("view-ended", "v1", "p1")
    lines = [json.loads(line) for line in (bed.host.root / "effects.log").read_text().splitlines()]
    assert [(line["effect"], line["object"], line["tag"]) for line in lines] == [
        ("view-taken", "v1", "p1"),
        ("view-ended", "v1", "p1"),
    ]
    assert lines[0]["time"] == "2026-03-01T00:00:01+00:00"
