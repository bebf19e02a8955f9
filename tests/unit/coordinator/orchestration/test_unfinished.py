from pathlib import Path

import pytest

from coordinator.domain.errors import RefusedError
from coordinator.orchestration.machinery import StateDirectory
from coordinator.orchestration.unfinished import (
    holds_vault,
    read_mark,
    remove_mark,
    remove_unfinished,
    write_mark,
)
from coordinator.store.database import Store
from replikera.system.files import SystemFiles
from tests.unit.coordinator.vaults import make_vault, state_in

FILES = SystemFiles()


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    found = state_in(tmp_path)
    found.folder.mkdir()
    return found


def test_the_mark_says_whose_the_folder_was_to_be(state: StateDirectory) -> None:
    assert read_mark(FILES, state) is None
    write_mark(FILES, state, "v-1")
    assert read_mark(FILES, state) == "v-1"
    remove_mark(FILES, state)
    assert read_mark(FILES, state) is None
    remove_mark(FILES, state)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"x" * 5000])
def test_a_mark_that_cannot_be_read_is_not_guessed(state: StateDirectory, content: bytes) -> None:
    state.unfinished.write_bytes(content)
    with pytest.raises(RefusedError) as caught:
        read_mark(FILES, state)
    assert caught.value.code == "unfinished-mark-damaged"
    assert str(state.unfinished) in caught.value.cause


def test_what_was_made_under_the_mark_goes_and_the_mark_last(state: StateDirectory) -> None:
    write_mark(FILES, state, "v-1")
    for name in (*state.database_names, "passphrase"):
        (state.folder / name).write_bytes(b"x")
    for folder in (state.authority, state.restoring):
        folder.mkdir()
        (folder / "root.pem").write_bytes(b"x")
    remove_unfinished(FILES, state)
    assert FILES.list_directory(state.folder) == ["passphrase"]


async def test_a_folder_is_complete_when_its_database_holds_a_vault(tmp_path: Path) -> None:
    state = state_in(tmp_path)
    assert not await holds_vault(FILES, state)
    await make_vault(tmp_path)
    assert await holds_vault(FILES, state)
    other = state_in(tmp_path / "other")
    other.folder.mkdir(parents=True)
    store = Store(other.database)
    await store.open()
    await store.close()
    assert not await holds_vault(FILES, other)
