"""What the target says of a point counts only beside what the source was."""

import pytest

from replikera.lab.digesting import digested_disks
from replikera.lab.errors import LabError


def test_disks_are_named_with_their_digests() -> None:
    disks = [{"disk_id": "a", "sha256": "00", "size": 5}, {"disk_id": "b", "sha256": "11"}]
    assert digested_disks({"result": {"disks": disks}}) == [("a", "00"), ("b", "11")]


@pytest.mark.parametrize(
    "job", [{}, {"result": None}, {"result": {"disks": []}}, {"result": {"disks": [{"size": 5}]}}]
)
def test_an_answer_without_disks_proves_nothing(job: dict[str, object]) -> None:
    with pytest.raises(LabError, match="the vault answered"):
        digested_disks(job)
