"""The order ledger: what makes an order that arrives twice happen once.

One file an order. The intent is durable before anything is done, the outcome before it is sent: an order with an
outcome is answered from here, an order without one runs its handler again, which is idempotent. An order that is
withdrawn before it began gets its outcome at once: should it come after all, it is answered like any other that ended.
"""

import asyncio
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from google.protobuf import json_format
from pydantic import ConfigDict, TypeAdapter, ValidationError

from replikera.durable import TEMPORARY_SUFFIX, remove_durably, write_durably
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.workers import Worker
from replikera.wire.v1 import orders_pb2

MAX_OPEN_ORDERS = 1024
"""Orders without an accepted outcome. Some 200 protections a host with five orders each."""

MAX_ACCEPTED_OUTCOMES = 1000
"""Outcomes kept after the vault stored them, at about 1 KiB each: an order may still be on its way twice."""

_MAX_ENTRY_BYTES = 256 * 1024  # an outcome fits one control message
_ORDER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SUFFIX = ".json"
_VERSION = 1


class LedgerError(Exception):
    """The ledger holds something it cannot have written, or has no room; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class _Entry:
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    version: int
    order_id: str
    intent_at: str
    outcome: str
    accepted_at: str


_ENTRY = TypeAdapter(_Entry)


class OrderLedger:
    """The orders of this host, one durable file each in `folder`. Open it once before anything else."""

    def __init__(self, files: Files, worker: Worker, clock: Clock, folder: Path) -> None:
        self._files = files
        self._worker = worker
        self._clock = clock
        self._folder = folder
        self._entries: dict[str, _Entry] = {}
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Read what earlier runs left. Raises `LedgerError` that names a damaged file."""
        entries = await self._worker.run(self._read_all)
        self._entries = {entry.order_id: entry for entry in entries}

    async def begin(self, order_id: str) -> orders_pb2.OrderOutcome | None:
        """Make the intent durable; return the outcome where the order already has one."""
        _check_id(order_id)
        async with self._writing:
            known = self._entries.get(order_id)
            if known is None:
                self._check_room()
                await self._write(_Entry(_VERSION, order_id, self._now(), "", ""))
                return None
            return _outcome_of(known) if known.outcome else None

    async def withdraw(self, order_id: str) -> orders_pb2.OrderOutcome | None:
        """Bar an order that has not begun, durably; return the outcome, None for one that began and has none yet."""
        _check_id(order_id)
        async with self._writing:
            known = self._entries.get(order_id)
            if known is not None:
                return _outcome_of(known) if known.outcome else None
            self._check_room()
            outcome = orders_pb2.OrderOutcome(order_id=order_id, withdrawn=orders_pb2.Withdrawn())
            await self._write(_Entry(_VERSION, order_id, self._now(), _to_text(outcome), ""))
            return outcome

    async def finish(self, outcome: orders_pb2.OrderOutcome) -> None:
        """Make the outcome of a begun order durable."""
        async with self._writing:
            entry = self._entries[outcome.order_id]
            await self._write(replace(entry, outcome=_to_text(outcome)))

    async def accept(self, order_id: str) -> None:
        """Note that the vault has stored the outcome; an unknown or open order is no error."""
        async with self._writing:
            entry = self._entries.get(order_id)
            if entry is None or not entry.outcome or entry.accepted_at:
                return
            await self._write(replace(entry, accepted_at=self._now()))
            await self._forget_oldest()

    def unaccepted(self) -> tuple[orders_pb2.OrderOutcome, ...]:
        """Return the outcomes that the vault has not confirmed, oldest order first."""
        waiting = [e for e in self._entries.values() if e.outcome and not e.accepted_at]
        return tuple(_outcome_of(e) for e in sorted(waiting, key=lambda e: e.intent_at))

    def _check_room(self) -> None:
        unfinished = sum(1 for entry in self._entries.values() if not entry.accepted_at)
        if unfinished >= MAX_OPEN_ORDERS:
            raise LedgerError(
                f"this host has {unfinished} orders in hand, the limit is {MAX_OPEN_ORDERS}. "
                "Wait until some are finished."
            )

    async def _forget_oldest(self) -> None:
        accepted = [entry for entry in self._entries.values() if entry.accepted_at]
        surplus = len(accepted) - MAX_ACCEPTED_OUTCOMES
        for entry in sorted(accepted, key=lambda e: e.accepted_at)[: max(0, surplus)]:
            await self._worker.run(remove_durably, self._files, self._path(entry.order_id))
            del self._entries[entry.order_id]

    async def _write(self, entry: _Entry) -> None:
        data = json.dumps(asdict(entry), sort_keys=True).encode()
        await self._worker.run(write_durably, self._files, self._path(entry.order_id), data)
        self._entries[entry.order_id] = entry

    def _read_all(self) -> list[_Entry]:
        self._files.make_directory(self._folder)
        self._files.sync_directory(self._folder.parent)
        names = self._files.list_directory(self._folder)
        # A temporary file is a write that never became the entry: the entry before it still counts.
        return [self._read(self._folder / n) for n in names if not n.endswith(TEMPORARY_SUFFIX)]

    def _read(self, path: Path) -> _Entry:
        try:
            entry = _ENTRY.validate_json(self._files.read_bytes(path, limit=_MAX_ENTRY_BYTES))
            if entry.outcome:
                _outcome_of(entry)
        except (ValueError, ValidationError, json_format.ParseError) as error:
            raise _damaged(path, "its content is damaged") from error
        if entry.version != _VERSION or path != self._path(entry.order_id):
            raise _damaged(path, f"version {entry.version}, order {entry.order_id}")
        return entry

    def _path(self, order_id: str) -> Path:
        return self._folder / (order_id + _SUFFIX)

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="microseconds")


def _check_id(order_id: str) -> None:
    if not _ORDER_ID.fullmatch(order_id):
        raise LedgerError(f"order id {order_id!r} is not a UUID: this vault is not ours.")


def _damaged(path: Path, problem: str) -> LedgerError:
    return LedgerError(
        f"{path} is not an entry of the order ledger: {problem}. "
        "Move it away; the vault sends an unfinished order again."
    )


def _to_text(outcome: orders_pb2.OrderOutcome) -> str:
    return json_format.MessageToJson(outcome, indent=None)


def _outcome_of(entry: _Entry) -> orders_pb2.OrderOutcome:
    return json_format.Parse(entry.outcome, orders_pb2.OrderOutcome())
