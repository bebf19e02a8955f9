from pathlib import Path

import pytest

from coordinator.domain.errors import RefusedError
from coordinator.orchestration.machinery import StateDirectory, only_one
from replikera.system.files import SystemFiles
from tests.unit.coordinator.vaults import state_in

FILES = SystemFiles()


def test_everything_has_its_place_in_the_folder(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path, tmp_path / "passphrase")
    places = [
        state.database,
        state.authority,
        state.server,
        state.lock,
        state.unfinished,
        state.restoring,
        state.backups,
    ]
    assert {place.parent for place in places} == {tmp_path}
    assert len(set(places)) == len(places)
    assert state.database_names[:2] == ("vault.db", "vault.db-wal")


def test_a_folder_has_one_coordinator(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    state.folder.mkdir()
    with only_one(FILES, state):
        with pytest.raises(RefusedError) as caught, only_one(FILES, state):
            pass
        assert caught.value.code == "coordinator-running"
        assert str(state.folder) in caught.value.cause
    with only_one(FILES, state):
        pass
