from coordinator.orchestration.deny_lists import DenyLists


def test_the_newest_list_is_sent() -> None:
    lists = DenyLists()
    assert (lists.version, lists.signed) == (0, b"")
    lists.take(2, b"two")
    lists.take(1, b"one")
    assert (lists.version, lists.signed) == (2, b"two")
    lists.take(2, b"two again")
    assert lists.signed == b"two again"


def test_an_outdated_list_is_sent_no_more() -> None:
    lists = DenyLists()
    lists.take(2, b"two")
    lists.outdated()
    assert (lists.version, lists.signed) == (0, b"")
    lists.take(2, b"anew")
    assert lists.signed == b"anew"
