from coordinator.orchestration.deletions import Deletion


def test_what_was_said_of_a_deletion_is_said_again() -> None:
    for names in ((), ("web", 'd"b\n', "söl")):
        deletion = Deletion("m-1", names)
        assert Deletion.from_text(deletion.to_text()) == deletion
