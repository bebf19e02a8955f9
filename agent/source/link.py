"""The way to a protection's target: under the newest certificate and grant, and left when the target is denied."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeAlias

from agent.source.conversation import Conversation, Opened
from agent.source.errors import TargetDeniedError, weightiest
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.state import Assignment
from replikera.identity import Role

Replicate: TypeAlias = Callable[[Conversation, Opened], Awaitable[None]]


class TargetLink:
    """One conversation at a time with the target of one protection."""

    def __init__(self, host: SourceHost, assignment: Assignment, grant: HeldGrant) -> None:
        self._host = host
        self._assignment = assignment
        self._grant = grant
        self._credentials = host.holder.current

    @property
    def is_outdated(self) -> bool:
        """Tell whether the certificate was renewed since the conversation was dialled: it is time for a new one."""
        return self._host.holder.current is not self._credentials

    async def converse(self, replicate: Replicate) -> None:
        """Hold a conversation for as long as `replicate` lasts.

        Raises `SourceError`, `HypervisorError` and `StreamClosedError`: what weighs most of all that went wrong.
        """
        assignment = self._assignment
        self._check_target()
        self._credentials = self._host.holder.current
        stream = await self._host.dialler.dial(assignment.target_host_id, assignment.target_address)
        try:
            conversation = Conversation(stream)
            async with asyncio.TaskGroup() as group:
                companions = [
                    group.create_task(conversation.pump()),
                    group.create_task(self._end_when_denied()),
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
        assignment, grant = self._assignment, self._grant
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
        reader, target = self._host.reader, self._assignment.target_host_id
        refusal = self._host.denials.identity_refusal(Role.HOST, target, reader.vault_id)
        if refusal is not None:
            raise TargetDeniedError(target, refusal)

    async def _end_when_denied(self) -> NoReturn:
        vault_id, target = self._host.reader.vault_id, self._assignment.target_host_id
        refusal = await self._host.denials.identity_denied(Role.HOST, target, vault_id)
        raise TargetDeniedError(target, refusal)
