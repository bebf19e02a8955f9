from pathlib import Path

from agent.control.conversation import Obey, StoreDenyList
from agent.failover.records import RehearsalRecord, RehearsalState
from tests.unit.agent.control.sessions import FACTS, Host, digest


async def test_hello_tells_what_this_host_is_and_obeyed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    await host.open()
    hello = await host.session._introduction.hello()
    assert (hello.facts, hello.start_count, hello.run_id) == (FACTS, 7, "r")
    assert (hello.control_version, hello.control_digest, hello.deny_list_version) == (0, b"", 0)
    await host.duties.do(Obey(3, digest(3)))
    await host.duties.do(StoreDenyList(host.office.deny_list(2)))
    hello = await host.session._introduction.hello()
    assert (hello.control_version, hello.control_digest) == (3, digest(3))
    assert hello.deny_list_version == 2


async def test_hello_tells_of_test_failovers_that_are_not_cleaned_up(tmp_path: Path) -> None:
    host = Host(tmp_path)
    record = RehearsalRecord("r", "o", "p", "g", 9, "web - test", RehearsalState.FAILED, "2026")
    host.rehearsals = (record,)
    (told,) = (await host.session._introduction.hello()).rehearsals
    assert (told.rehearsal_id, told.sequence) == ("r", 9)


async def test_nothing_is_held_by_a_new_host(tmp_path: Path) -> None:
    host = Host(tmp_path)
    hello = await host.session._introduction.hello()
    assert (list(hello.protections), list(hello.rehearsals)) == ([], [])
