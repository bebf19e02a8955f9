"""The way to a protection's target: under the newest certificate and grant, and left when the target is denied."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeAlias

from agent.source.answers import Opened
from agent.source.conversation import Conversation
from agent.source.errors import InterruptedReplicationError, TargetDeniedError, weightiest
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.record import ProtectionRecord
from replikera.identity import Role

Replicate: TypeAlias = Callable[[Conversation, Opened], Awaitable[None]]


class TargetLink:
    """One conversation at a time with the target of one protection."""

    def __init__(self, host: SourceHost, record: ProtectionRecord, grant: HeldGrant) -> None:
        self._host = host
        self._record = record
        self._grant = grant
        self._credentials = host.holder.current
        self._address = ""

    @property
    def is_outdated(self) -> bool:
        """Tell whether certificate or address are others than those that were dialled: it is time to dial again."""
        return (
            self._host.holder.current is not self._credentials
            or self._record.state.assignment.target_address != self._address
        )

    async def converse(self, replicate: Replicate) -> None:
        """Hold a conversation for as long as `replicate` lasts.

        Raises `SourceError`, `HypervisorError` and `StreamClosedError`: what weighs most of all that went wrong.
        `InterruptedReplicationError`: nothing is to be sent any more.
        """
        assignment = self._record.state.assignment
        self._check_target()
        self._credentials, self._address = self._host.holder.current, assignment.target_address
        stream = await self._host.dialler.dial(assignment.target_host_id, self._address)
        try:
            conversation = Conversation(stream, lambda: self._host.budget.part)
            async with asyncio.TaskGroup() as group:
                companions = [
                    group.create_task(conversation.pump()),
                    group.create_task(self._end_when_denied()),
                    group.create_task(self._end_when_told()),
                ]
                opened, version = await self._open(conversation)
                companions.append(group.create_task(self._present(conversation, version)))
                await replicate(conversation, opened)
                for companion in companions:
                    companion.cancel()
        except ExceptionGroup as failed:
            raise weightiest(failed) from failed
        finally:
            await stream.close()

    async def _open(self, conversation: Conversation) -> tuple[Opened, int]:
        assignment, grant = self._record.state.assignment, self._grant
        version = grant.version
        opened = await conversation.open(
            assignment.protection_id, assignment.epoch, assignment.generation, grant.signed
        )
        return opened, version

    async def _present(self, conversation: Conversation, version: int) -> NoReturn:
        while True:
            await self._grant.newer_than(version)
            version = self._grant.version
            await conversation.present(self._grant.signed)

    def _check_target(self) -> None:
        reader, target = self._host.reader, self._record.state.assignment.target_host_id
        refusal = self._host.denials.identity_refusal(Role.HOST, target, reader.vault_id)
        if refusal is not None:
            raise TargetDeniedError(target, refusal)

    async def _end_when_denied(self) -> NoReturn:
        vault_id = self._host.reader.vault_id
        target = self._record.state.assignment.target_host_id
        refusal = await self._host.denials.identity_denied(Role.HOST, target, vault_id)
        raise TargetDeniedError(target, refusal)

    async def _end_when_told(self) -> NoReturn:
        while (state := self._record.state).may_send:
            await self._record.changed_from(state)
        raise InterruptedReplicationError
