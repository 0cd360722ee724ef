"""What the core does, written once more in slow and plain Python, to compare with.

`ReferencePlan` orders a graph, `ReferenceRun` runs it.  Tasks are known by name here, never by index.
"""

from __future__ import annotations

from collections import deque

PENDING, READY, RUNNING, SUCCEEDED, FAILED, CANCELLED, SKIPPED, DETACHED, RETRYING = range(9)


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


class ReferenceRun:
    """One run: which tasks may start, and what becomes of the others when one ends."""

    def __init__(self, plan, max_running=0):
        self.plan, self.max_running, self.stopped = plan, max_running, False
        self.state = dict.fromkeys(plan.order, PENDING)
        self.ended, self.cause = [], {}
        self.started_at, self.ended_at = {}, {}
        self.queue = deque()
        for task in plan.order:
            if not plan.dependencies[task]:
                self._make_ready(task)

    def _make_ready(self, task):
        self.state[task] = READY
        self.queue.append(task)

    def running(self):
        return [task for task, state in self.state.items() if state == RUNNING]

    def start(self, now):
        if not self.queue or (self.max_running and len(self.running()) >= self.max_running):
            return None
        task = self.queue.popleft()
        self.state[task], self.started_at[task] = RUNNING, now
        return task

    def finish(self, task, outcome, now):
        self.state[task], self.ended_at[task] = outcome, now
        self.ended.append(task)
        if outcome == SUCCEEDED:
            for other in self.plan.dependents[task]:
                succeeded = [self.state[d] == SUCCEEDED for d in self.plan.dependencies[other]]
                if self.state[other] == PENDING and all(succeeded):
                    self._make_ready(other)
        else:
            self._skip_descendants(task)

    def _skip_descendants(self, first):
        line = [first]
        for task in line:
            for other in self.plan.dependents[task]:
                if self.state[other] == PENDING:
                    self.state[other], self.cause[other] = SKIPPED, task
                    self.ended.append(other)
                    line.append(other)

    def stop(self):
        self.stopped = True
        self.queue.clear()
        for task in self.plan.order:
            if self.state[task] in (PENDING, READY):
                self.state[task] = SKIPPED
                self.ended.append(task)

    def tally(self):
        states = list(self.state.values())
        return tuple(states.count(state) for state in range(9))
