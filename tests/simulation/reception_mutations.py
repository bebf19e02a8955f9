"""The rules by which a pass and an open segment arrive, each broken in turn: the worlds must notice every one."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from agent.replica import unfinished
from agent.replica.base_images import BaseWriter
from agent.replica.history import History
from agent.replica.layout import image_attempts
from agent.replica.pass_file import PassState, read_pass
from agent.replica.storage import Storage
from replikera.blocks.segment import SegmentFormatError
from tests.simulation.mutation import Mutation


def _ends(ending: str) -> Callable[[Path], bool]:
    return lambda path: path.name.endswith(ending)


def _believe_what_is_visible(storage: Storage, history: History) -> PassState | None:
    files, layout = storage.files, storage.layout
    for number in reversed(image_attempts(files.list_directory(layout.folder))):
        if number < history.head.attempt_floor:
            break
        with suppress(SegmentFormatError, FileNotFoundError, ValueError):
            return read_pass(files, layout, number)
    return None


PASS_MUTATIONS = (
    Mutation("images: durable before the state names the chunk", skips_file=_ends(".img")),
    Mutation("checksums: durable before the state names the chunk", skips_file=_ends(".sums")),
    Mutation("state: content durable before its name", skips_file=_ends("pass.json.new")),
    Mutation(
        "state: name durable before it is told",
        skips_directory=lambda path: path.name.startswith("initial-"),
    ),
    Mutation(
        "state: name durable before recovery believes it",
        patched=lambda: patch.object(unfinished, "_newest_pass", _believe_what_is_visible),
    ),
    Mutation(
        "a comparison brings the checksums up to the bytes",
        patched=lambda: patch.object(BaseWriter, "set_sums", lambda *_: None),
    ),
)

DELTA_MUTATIONS = (
    Mutation("open: content durable before it is told", skips_file=_ends(".open")),
    Mutation(
        "open: name durable before it is told",
        skips_directory=lambda path: path.name == "journal",
    ),
)
