import pytest

from coordinator.rpc import limiter
from coordinator.rpc.limiter import IN_ALL, PER_ADDRESS, Allowance, RateLimiter
from tests.support.virtual_clock import VirtualClock


def taken(rate: RateLimiter, address: str, tries: int) -> int:
    return sum(rate.allows(address) for _ in range(tries))


def test_an_address_has_a_burst_and_then_a_rate(clock: VirtualClock) -> None:
    rate = RateLimiter(clock)
    assert taken(rate, "a", 100) == PER_ADDRESS.burst
    clock.advance(3)
    assert taken(rate, "a", 100) == 3 * PER_ADDRESS.per_second
    clock.advance(10_000)
    assert taken(rate, "a", 100) == PER_ADDRESS.burst


def test_one_that_floods_leaves_the_others_alone(clock: VirtualClock) -> None:
    rate = RateLimiter(clock)
    taken(rate, "a", 10_000)
    assert taken(rate, "b", 100) == PER_ADDRESS.burst


def test_all_together_are_bounded(clock: VirtualClock) -> None:
    rate = RateLimiter(clock)
    assert sum(rate.allows(f"address {at}") for at in range(1000)) == IN_ALL.burst
    clock.advance(1)
    assert sum(rate.allows(f"other {at}") for at in range(1000)) == IN_ALL.per_second


def test_the_memory_of_addresses_is_bounded(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "MAX_ADDRESSES", 3)
    monkeypatch.setattr(limiter, "IN_ALL", Allowance(10_000, 1))
    rate = RateLimiter(clock)
    for at in range(50):
        rate.allows(f"address {at}")
    assert list(rate._addresses) == ["address 47", "address 48", "address 49"]
