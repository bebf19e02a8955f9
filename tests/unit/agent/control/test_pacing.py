import pytest

from agent.control import pacing
from agent.control.pacing import Pacer


def test_only_the_newest_value_leaves_and_only_once() -> None:
    pacer: Pacer[int] = Pacer(1.0)
    pacer.put("a", 1, is_urgent=False)
    pacer.put("a", 2, is_urgent=False)
    assert pacer.take(0) == [2]
    assert pacer.take(10) == []


def test_value_waits_for_its_interval_and_others_do_not_wait_for_it() -> None:
    pacer: Pacer[int] = Pacer(1.0)
    pacer.put("a", 1, is_urgent=False)
    assert pacer.take(0) == [1]
    pacer.put("a", 2, is_urgent=False)
    pacer.put("b", 3, is_urgent=False)
    assert pacer.take(0.9) == [3]
    assert pacer.take(1.0) == [2]


def test_urgent_value_does_not_wait() -> None:
    pacer: Pacer[int] = Pacer(1.0)
    pacer.put("a", 1, is_urgent=False)
    pacer.take(0)
    pacer.put("a", 2, is_urgent=True)
    assert pacer.take(0.1) == [2]


def test_new_listener_is_told_everything_again() -> None:
    pacer: Pacer[int] = Pacer(1.0)
    pacer.put("a", 1, is_urgent=False)
    pacer.take(0)
    pacer.repeat()
    assert pacer.take(0) == [1]


def test_forgotten_subject_is_not_repeated() -> None:
    pacer: Pacer[int] = Pacer(1.0)
    pacer.put("a", 1, is_urgent=True)
    pacer.forget("a")
    pacer.forget("a")
    pacer.repeat()
    assert pacer.take(0) == []
    assert pacer.latest("a") is None


def test_subjects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "MAX_SUBJECTS", 2)
    pacer: Pacer[int] = Pacer(1.0)
    for number, subject in enumerate("abc"):
        pacer.put(subject, number, is_urgent=True)
    pacer.put("a", 9, is_urgent=True)
    assert pacer.take(0) == [9, 1]


def test_repeated_value_comes_again_until_it_is_forgotten() -> None:
    pacer: Pacer[int] = Pacer(30.0, is_repeated=True)
    pacer.put("a", 1, is_urgent=True)
    assert [pacer.take(now) for now in (0, 29, 30, 31, 60)] == [[1], [], [1], [], [1]]
    pacer.forget("a")
    assert pacer.take(90) == []
