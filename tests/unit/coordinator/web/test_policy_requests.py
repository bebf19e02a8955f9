from datetime import timedelta

import pytest
from pydantic import ValidationError

from coordinator.domain.compression import Compression
from coordinator.domain.policy_settings import PolicySettings
from coordinator.web.policy_requests import PolicyChange, PolicyRequest

SETTINGS = PolicySettings(timedelta(seconds=60), timedelta(hours=24), rpo_target=timedelta(hours=1))


def test_what_a_request_leaves_out_is_usual() -> None:
    body = PolicyRequest(name="p", copy_frequency_seconds=60, retention_hours=24)
    assert body.settings() == PolicySettings(timedelta(seconds=60), timedelta(hours=24))


def test_what_a_change_leaves_out_stays() -> None:
    assert PolicyChange().applied(SETTINGS) == SETTINGS
    changed = PolicyChange.model_validate({"compression": "lz4", "rpo_target_seconds": None})
    after = changed.applied(SETTINGS)
    assert (after.compression, after.rpo_target) == (Compression.LZ4, None)
    assert after.copy_frequency == SETTINGS.copy_frequency


@pytest.mark.parametrize(
    "wrong", [{"compression": "gzip"}, {"throttle": [{"weekdays": 1}]}, {"colour": 1}]
)
def test_what_nobody_knows_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PolicyChange.model_validate(wrong)
