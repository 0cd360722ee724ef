"""The heap of deadlines against a dict that is sorted whenever something is asked of it."""

import math
import pickle
from random import Random

import pytest

from penstock._core.deadlines import Deadlines

#: A deadline counts as due this much too early, in seconds.
TOLERANCE = 1e-6


class SlowDeadlines:
    """Item to time; the first is the earliest, of equal ones the smaller item."""

    def __init__(self):
        self.when = {}

    def first(self):
        return min(self.when.values(), default=math.inf)

    def due(self, now):
        if not self.when:
            return -1
        item = min(self.when, key=lambda item: (self.when[item], item))
        if self.when[item] > now + TOLERANCE:
            return -1
        del self.when[item]
        return item


@pytest.mark.parametrize("seed", range(100))
def test_arming_disarming_and_asking_in_any_order_agree_with_sorting(seed):
    random = Random(seed)
    n = random.choice((1, 2, 5, 20, 100))
    # Few different times make many ties.
    times = [random.uniform(0.0, 100.0) for _ in range(random.choice((2, 5, 1000)))] + [math.inf, -math.inf, -1.0]
    fast, slow = Deadlines(n), SlowDeadlines()
    for _ in range(500):
        item = random.randrange(n)
        match random.choice(("arm", "arm", "disarm", "due")):
            case "arm":
                slow.when[item] = random.choice(times)
                fast.arm(item, slow.when[item])
            case "disarm":
                slow.when.pop(item, None)
                fast.disarm(item)
            case "due":
                now = random.choice(times)
                assert fast.due(now) == slow.due(now)
        assert (fast.count, fast.first) == (len(slow.when), slow.first())
    left = sorted(slow.when, key=lambda item: (slow.when[item], item))
    assert [fast.due(math.inf) for _ in left] == left
    assert (fast.due(math.inf), fast.count, fast.first) == (-1, 0, math.inf)


def test_of_equal_times_the_smaller_item_is_first():
    deadlines = Deadlines(50)
    for item in Random(1).sample(range(50), 50):
        deadlines.arm(item, 7.0)
    assert [deadlines.due(7.0) for _ in range(51)] == [*range(50), -1]


def test_arming_again_replaces_the_deadline_earlier_or_later():
    deadlines = Deadlines(3)
    for item in range(3):
        deadlines.arm(item, 10.0 + item)
    deadlines.arm(0, 20.0)
    deadlines.arm(2, 5.0)
    deadlines.arm(1, 11.0)
    assert (deadlines.count, deadlines.first) == (3, 5.0)
    assert [deadlines.due(100.0) for _ in range(4)] == [2, 1, 0, -1]


def test_a_deadline_is_due_a_microsecond_early_but_not_more():
    deadlines = Deadlines(1)
    deadlines.arm(0, 1.0)
    assert deadlines.due(1.0 - 2e-6) == -1
    assert deadlines.due(1.0 - 0.5e-6) == 0
    assert deadlines.due(1.0) == -1


def test_a_million_deadlines_armed_and_disarmed_leave_nothing():
    n = 1_000_000
    deadlines = Deadlines(n)
    arm, disarm = deadlines.arm, deadlines.disarm
    # At most a thousand at once, ended in another order than they are due.
    for item in range(n):
        arm(item, float(item * 7919 % 1009))
        if item >= 1000:
            disarm(item - 1000)
    assert deadlines.count == 1000
    for item in range(n - 1000, n):
        disarm(item)
        disarm(item)
    assert (deadlines.count, deadlines.first, deadlines.due(math.inf)) == (0, math.inf, -1)


def test_a_million_deadlines_at_once_come_out_in_order():
    n = 1_000_000
    deadlines = Deadlines(n)
    for item in range(n):
        deadlines.arm(item, float(item * 7919 % 1009))
    expected = sorted(range(n), key=lambda item: item * 7919 % 1009)
    assert [deadlines.due(1009.0) for _ in range(n)] == expected
    assert deadlines.count == 0


@pytest.mark.parametrize("item", [-1, 3, 2**31, -(2**31)])
def test_items_out_of_range_are_refused(item):
    deadlines = Deadlines(3)
    with pytest.raises(IndexError, match=f"item {item} is out of range for 3"):
        deadlines.arm(item, 1.0)
    with pytest.raises(IndexError, match=f"item {item} is out of range for 3"):
        deadlines.disarm(item)
    assert deadlines.count == 0


def test_what_is_no_time_and_no_number_of_items_is_refused():
    deadlines = Deadlines(1)
    deadlines.arm(0, 1.0)
    with pytest.raises(ValueError, match="the time of a deadline is not a number"):
        deadlines.arm(0, math.nan)
    assert (deadlines.count, deadlines.first) == (1, 1.0)
    with pytest.raises(ValueError, match="n_items is -1"):
        Deadlines(-1)
    with pytest.raises(TypeError, match="Deadlines belong to one run"):
        pickle.dumps(deadlines)


def test_deadlines_of_no_items_are_never_due():
    deadlines = Deadlines(0)
    assert (deadlines.count, deadlines.first, deadlines.due(math.inf)) == (0, math.inf, -1)
    with pytest.raises(IndexError):
        deadlines.arm(0, 1.0)
