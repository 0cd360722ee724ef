"""The ready queue gives positions back first come first served, or by priority."""

import pickle
from collections import deque

import pytest

from penstock._core import ReadyQueue
from penstock._core.ready import trial


def random_operations(rng, n):
    """Every position is pushed once, with pops in between and enough of them at the end."""
    positions = list(range(n))
    rng.shuffle(positions)
    operations = []
    for position in positions:
        operations.append(position)
        operations += [None] * (rng.random() < 0.4) * rng.randint(1, 3)
    return operations + [None] * n


def expected(operations, *columns):
    """A list searched for the largest keys and then the lowest position, or a plain queue."""
    waiting, popped = deque(), []
    for position in operations:
        if position is not None:
            waiting.append(position)
        elif waiting:
            first = waiting[0]
            if columns:
                first = min(waiting, key=lambda p: (*(-column[p] for column in columns), p))
            waiting.remove(first)
            popped.append(first)
    return popped


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 100, 1000])
def test_without_priorities_the_first_come_is_the_first_served(n, rng):
    operations = random_operations(rng, n)
    assert trial(operations) == expected(operations)


@pytest.mark.parametrize("n", [0, 1, 2, 16, 17, 300])
def test_larger_priority_then_longer_remaining_path_then_lower_position_comes_first(n, rng):
    for _ in range(20):
        operations = random_operations(rng, n)
        priority = [float(rng.randint(0, 3)) for _ in range(n)]
        remaining = [float(rng.randint(0, 3)) for _ in range(n)]
        assert trial(operations, priority, remaining) == expected(operations, priority, remaining)
        assert trial(operations, None, remaining) == expected(operations, remaining)
        assert trial(operations, priority) == expected(operations, priority)


def test_a_ring_that_wraps_and_grows_loses_nothing():
    operations = [*range(12), *[None] * 10, *range(12, 200), *[None] * 200]
    assert trial(operations) == list(range(200))


def test_a_queue_cannot_be_pickled():
    assert ReadyQueue().count == 0
    with pytest.raises(TypeError, match="belongs to one run"):
        pickle.dumps(ReadyQueue())
