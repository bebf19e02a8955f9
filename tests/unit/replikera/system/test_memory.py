"""The allocator's setting is accepted where it exists."""

import sys

import pytest

from replikera.system.memory import keep_large_buffers


def test_glibc_accepts_the_setting() -> None:
    assert keep_large_buffers() is (sys.platform == "linux")


def test_another_platform_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert keep_large_buffers() is False
