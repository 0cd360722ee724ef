"""What the core does, written once more in slow and plain Python, to compare with.

`ReferencePlan` orders a graph, `ReferenceRun` runs it, observing `ReferenceRules`.  Tasks are known by name here, never
by index.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

PENDING, READY, RUNNING, SUCCEEDED, FAILED, CANCELLED, SKIPPED, DETACHED, RETRYING = range(9)
ENDED = (SUCCEEDED, FAILED, CANCELLED, SKIPPED, DETACHED)


class ReferencePlan:
    """Stages, order and questions about an acyclic graph {task: dependencies}; every name is a task."""

    def __init__(self, mapping):
        self.dependencies = {task: list(dict.fromkeys(listed)) for task, listed in mapping.items()}
        self.dependents = {task: [] for task in self.dependencies}
        for task, listed in self.dependencies.items():
            for other in listed:
                self.dependents[other].append(task)
        self.order = self._order()
        self.stage = {}
        for task in self.order:
            self.stage[task] = 1 + max((self.stage[other] for other in self.dependencies[task]), default=-1)
        self.depth = 1 + max(self.stage.values(), default=-1)

    def _order(self):
        """First come, first served: what a finished task makes ready goes to the end of the line."""
        waiting = {task: len(listed) for task, listed in self.dependencies.items()}
        order = [task for task, count in waiting.items() if not count]
        for task in order:
            for other in self.dependents[task]:
                waiting[other] -= 1
                if not waiting[other]:
                    order.append(other)
        if len(order) < len(waiting):
            raise ValueError("cycle")
        return order

    def starts(self, stage):
        return [task for task in self.dependencies if self.stage[task] == stage]

    def waits(self, stage):
        return list(dict.fromkeys(other for task in self.starts(stage) for other in self.dependencies[task]))

    def in_flight(self, stage):
        """Tasks begun in stages up to this one and in no wait list up to this one."""
        awaited = {other for number in range(stage + 1) for other in self.waits(number)}
        return [task for number in range(stage + 1) for task in self.starts(number) if task not in awaited]

    def max_parallelism(self):
        return max((len(self.in_flight(stage)) for stage in range(self.depth)), default=0)

    def longest_path(self, durations):
        """The length of the longest path."""
        end = {}
        for task in self.order:
            end[task] = durations[task] + max((end[other] for other in self.dependencies[task]), default=0.0)
        return max(end.values(), default=0.0)


@dataclass
class ReferenceRules:
    """What a run does beyond the plan's order."""

    always: set = field(default_factory=set)
    capacities: tuple = ()  # of each limit
    uses: dict = field(default_factory=dict)  # task: numbers of limits
    priorities: dict = field(default_factory=dict)
    barriers: bool = False


class ReferenceRun:
    """One run: which tasks may start, and what becomes of the others when one ends."""

    def __init__(self, plan, max_running=0, rules=None):
        self.plan, self.max_running, self.rules = plan, max_running, rules or ReferenceRules()
        self.stopped, self.always = False, set(self.rules.always)
        self.rank = {task: number for number, task in enumerate(plan.order)}
        self.state = dict.fromkeys(plan.order, PENDING)
        self.waits_for = {task: set(listed) for task, listed in plan.dependencies.items()}
        self.ended, self.cause = [], {}
        self.started_at, self.ended_at = {}, {}
        self.queue = []
        self.in_use = [0] * len(self.rules.capacities)
        self.parked = [deque() for _ in self.rules.capacities]  # ready tasks, at the first limit without room
        self.stage = 0  # the last that is open
        if not self.rules.barriers:
            self.stage = plan.depth
        for task in plan.order:
            if not plan.dependencies[task]:
                self._make_ready(task)

    def _make_ready(self, task):
        if self.plan.stage[task] <= self.stage:
            self.state[task] = READY
            self.queue.append(task)

    def running(self):
        return [task for task, state in self.state.items() if state == RUNNING]

    def retrying(self):
        return [task for task, state in self.state.items() if state == RETRYING]

    def has_ended(self, task):
        return self.state[task] in ENDED

    # -- starting ------------------------------------------------------------------------------------------

    def start(self, now):
        while self.queue and not (self.max_running and len(self.running()) >= self.max_running):
            task = self._next()
            if self._takes_limits(task):
                self.state[task], self.started_at[task] = RUNNING, now
                return task
        return None

    def _next(self):
        at = 0
        if self.rules.priorities:
            keys = [(-self.rules.priorities.get(task, 0.0), self.rank[task]) for task in self.queue]
            at = keys.index(min(keys))
        return self.queue.pop(at)

    def limits_of(self, task):
        return sorted(set(self.rules.uses.get(task, ())))

    def has_room(self, limit):
        return self.in_use[limit] < self.rules.capacities[limit]

    def _takes_limits(self, task):
        """Take a place of each limit; if one has none wait there, and let others have the places it was woken for."""
        full = [limit for limit in self.limits_of(task) if not self.has_room(limit)]
        if full:
            self.parked[full[0]].append(task)
            for limit in self.limits_of(task):
                if self.has_room(limit):
                    self._wake(limit)
            return False
        for limit in self.limits_of(task):
            self.in_use[limit] += 1
        return True

    def _leave_limits(self, task):
        for limit in self.limits_of(task):
            self.in_use[limit] -= 1
            self._wake(limit)

    def _wake(self, limit):
        if self.parked[limit]:
            self.queue.append(self.parked[limit].popleft())

    # -- ending --------------------------------------------------------------------------------------------

    def finish(self, task, outcome, now):
        if self.state[task] == RETRYING:
            self.started_at[task] = now
        else:
            self._leave_limits(task)
        self.state[task], self.ended_at[task] = outcome, now
        self.ended.append(task)
        if outcome == SUCCEEDED:
            for other in self.plan.dependents[task]:
                self._is_over(other, task)
        else:
            self._skip_descendants([task])
        self._open_stages()

    def _is_over(self, task, dependency):
        self.waits_for[task].discard(dependency)
        if self.state[task] == PENDING and not self.waits_for[task]:
            self._make_ready(task)

    def _skip_descendants(self, line):
        for task in line:
            for other in self.plan.dependents[task]:
                if other in self.always:
                    self._is_over(other, task)
                elif self.state[other] == PENDING:
                    self.state[other], self.cause[other] = SKIPPED, task
                    self.ended.append(other)
                    line.append(other)

    def _open_stages(self):
        while self.stage < self.plan.depth - 1 and all(
            self.has_ended(task) for task in self.plan.order if self.plan.stage[task] <= self.stage
        ):
            self.stage += 1
            for task in self.plan.order:
                if self.plan.stage[task] == self.stage and self.state[task] == PENDING:
                    self._make_ready(task)

    def stop(self, entirely=False):
        if self.stopped and not (entirely and self.always):
            return
        if entirely:
            self.always = set()
        self.stopped, self.stage = True, self.plan.depth
        self.queue.clear()
        for line in self.parked:
            line.clear()
        skipped = []
        for task in self.plan.order:
            if self.state[task] in (PENDING, READY):
                if task not in self.always:
                    self.state[task] = SKIPPED
                    skipped.append(task)
                elif not self.waits_for[task]:
                    self._make_ready(task)
        self.ended += skipped
        self._skip_descendants(skipped)

    # -- attempts ------------------------------------------------------------------------------------------

    def retry(self, task):
        self._leave_limits(task)
        self.state[task] = RETRYING
        del self.started_at[task]

    def again(self, task):
        self.state[task] = READY
        self.queue.append(task)

    def tally(self):
        states = list(self.state.values())
        return tuple(states.count(state) for state in range(9))
