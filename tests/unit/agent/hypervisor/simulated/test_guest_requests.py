from agent.hypervisor.simulated.guest_requests import GuestRequests
from tests.support.simulated_host import Bed


def test_a_request_is_for_one_start(bed: Bed) -> None:
    requests = GuestRequests(bed.machine())
    assert requests.quiesce("start-1") == ""
    requests.ask_to_quiesce("request-1", "start-1")
    assert requests.quiesce("start-1") == "request-1"
    assert requests.quiesce("start-2") == ""


def test_only_ones_own_request_is_withdrawn(bed: Bed) -> None:
    requests = GuestRequests(bed.machine())
    requests.withdraw("request-0")
    requests.ask_to_quiesce("request-1", "start-1")
    requests.ask_to_quiesce("request-2", "start-1")
    requests.withdraw("request-1")
    assert requests.quiesce("start-1") == "request-2"
    requests.withdraw("request-2")
    assert requests.quiesce("start-1") == ""


def test_an_answer_is_one_of_its_start_until_it_is_taken_back(bed: Bed) -> None:
    machine = bed.machine()
    requests = GuestRequests(machine)
    requests.answer("request-1", "start-1", "no")
    found = requests.answered("start-1")
    assert found is not None
    assert (found.request_id, found.problem) == ("request-1", "no")
    assert requests.answered("start-2") is None
    requests.take_back()
    requests.take_back()
    assert GuestRequests(machine).answered("start-1") is None


def test_a_request_to_shut_down_can_be_refused(bed: Bed) -> None:
    requests = GuestRequests(bed.machine())
    requests.refuse_to_shut_down()
    requests.ask_to_shut_down("start-1")
    assert requests.is_to_shut_down("start-1")
    assert not requests.is_to_shut_down("start-2")
    requests.refuse_to_shut_down()
    assert not requests.is_to_shut_down("start-1")
