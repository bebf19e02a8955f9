"""What a source may say."""

from agent.replica.messages import Batch


def test_a_batch_takes_the_window_with_records_and_payload() -> None:
    assert Batch(b"r" * 96, (b"abc", b"de")).size == 101
