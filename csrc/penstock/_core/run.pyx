"""RunState: the state machine of one run.

Stimuli go in (a task was started, it ended so, stop), and the consequences are written to columns: counters,
states, times.  There is no clock, no input or output and no event loop here; times are passed in.  So a run can
be recorded as a list of events and replayed from it, bit for bit.

    PENDING --last predecessor succeeds--> READY --start--> RUNNING --finish--> SUCCEEDED | FAILED | CANCELLED
       |                                     |
       +--a predecessor did not succeed------+--stop--> SKIPPED

Skipping spreads to all descendants at once, iteratively: the column of finished tasks, to which every skipped
task is appended anyway, serves as the work list.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from penstock._core.columns cimport Column
from penstock._core.memory cimport PS_PREFETCH, ps_alloc, ps_alloc_zero, ps_free
from penstock._core.plan cimport Plan
from penstock._core.ready cimport ReadyQueue
from penstock._core.types cimport (
    CANCELLED,
    FAILED,
    N_STATES,
    PENDING,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
)


cdef extern from *:
    """
    #ifdef PENSTOCK_CHECK
    #define PS_CHECKED 1
    #else
    #define PS_CHECKED 0
    #endif
    """
    bint PS_CHECKED

#: The states by their number in the columns, in the report's words.
STATE_NAMES = ("pending", "ready", "running", "completed", "failed", "cancelled", "skipped")

#: Kinds of recorded events.
EVENT_START, EVENT_FINISH, EVENT_STOP = range(3)

#: True in a debug build, which checks the invariants after each event.
CHECKED = bool(PS_CHECKED)


cdef class RunState:
    """Counters, states and times of one run of a plan.

    Owns its columns, all indexed by position in the plan.  Invariants, checked by ``check`` (a debug build calls
    it after each event): the counts agree with the states; a pending task's counter is the number of its
    predecessors that have not succeeded; a ready one is in the queue once; never more run than allowed.

    One run, one thread: whoever drives the run calls everything here.  Every method finishes its changes before
    it returns, so user code may run, and call back, between any two calls.

    Parameters
    ----------
    plan
        What to run.
    max_running
        How many tasks may run at once; 0 is no limit.
    record
        Keep the list of events, for ``replay``.
    """

    def __cinit__(self, Plan plan not None, Py_ssize_t max_running=0, bint record=False):
        if max_running < 0:
            raise ValueError(f"max_running is {max_running}; give 0 for no limit, or a positive number")
        self.plan = plan
        self.max_running = max_running
        self.queue = ReadyQueue()
        self.events = [] if record else None
        self.allocate()
        self.enqueue_sources()

    def __dealloc__(self):
        ps_free(self.n_pending)
        ps_free(self.state)
        ps_free(self.started)
        ps_free(self.ended)
        ps_free(self.cause)
        ps_free(self.finished)

    def __reduce__(self):
        raise TypeError("a RunState belongs to one run and cannot be pickled; neither can its report, but report.to_dict() can")

    cdef int allocate(self) except -1:
        cdef Py_ssize_t n = self.plan.n, i
        self.n_pending = <int32_t *> ps_alloc(n, sizeof(int32_t))
        self.state = <uint8_t *> ps_alloc_zero(n, 1)
        self.started = <double *> ps_alloc(n, sizeof(double))
        self.ended = <double *> ps_alloc(n, sizeof(double))
        self.finished = <int32_t *> ps_alloc(n, sizeof(int32_t))
        if (self.n_pending == NULL or self.state == NULL or self.started == NULL or self.ended == NULL
                or self.finished == NULL):
            raise MemoryError
        memcpy(self.n_pending, self.plan.in_degree, n * sizeof(int32_t))
        # All bits set is a NaN, and writing bytes is faster than writing doubles.
        memset(self.started, 0xFF, n * sizeof(double))
        memset(self.ended, 0xFF, n * sizeof(double))
        for i in range(N_STATES):
            self.counts[i] = 0
        self.counts[PENDING] = n
        return 0

    cdef int enqueue_sources(self) except -1:
        """Sources are the first positions: the tasks of stage 0."""
        cdef Py_ssize_t position, n = self.plan.stage_start[1] if self.plan.depth else 0
        self.queue.reserve(n)
        for position in range(n):
            self.move(<int32_t> position, READY)
            self.queue.push(<int32_t> position)
        return 0

    # -- events -------------------------------------------------------------------------------------------

    cdef int32_t start_next(self, double now) except -2:
        """Take the next ready task and mark it running; -1 if there is none or the limit is reached."""
        cdef int32_t position
        if self.queue.count == 0 or self.max_running and self.counts[RUNNING] >= self.max_running:
            return -1
        position = self.queue.pop()
        self.move(position, RUNNING)
        self.started[position] = now
        if self.events is not None:
            self.events.append((EVENT_START, position, now))
        if PS_CHECKED:
            self.check()
        return position

    def start(self, double now):
        """Start the next ready task and return its position, or -1 if none may start; called once per task."""
        return self.start_next(now)

    cdef int finish_one(self, int32_t position, uint8_t outcome, double now) except -1:
        """The caller guarantees a running position and a terminal outcome that is not SKIPPED."""
        self.move(position, outcome)
        self.ended[position] = now
        self.finished[self.n_finished] = position
        self.n_finished += 1
        if outcome == SUCCEEDED:
            self.release_successors(position)
        else:
            self.skip_descendants(position)
        if self.events is not None:
            self.events.append((EVENT_FINISH, position, outcome, now))
        if PS_CHECKED:
            self.check()
        return 0

    cdef int release_successors(self, int32_t position) except -1:
        cdef int64_t e, end = self.plan.successor_from(position + 1)
        cdef int32_t successor
        if position + 16 < self.plan.n:
            # Positions come up nearly in order, so the counters needed soon are known.
            e = self.plan.successor_from(position + 16)
            PS_PREFETCH(&self.plan.successors[e])
            e = self.plan.successor_from(position + 8)
            if e + 2 < self.plan.m:
                PS_PREFETCH(&self.n_pending[self.plan.successors[e]])
                PS_PREFETCH(&self.n_pending[self.plan.successors[e + 1]])
                PS_PREFETCH(&self.n_pending[self.plan.successors[e + 2]])
        for e in range(self.plan.successor_from(position), end):
            successor = self.plan.successors[e]
            self.n_pending[successor] -= 1
            # After a stop, or below a failed task, the successor is skipped already.
            if self.n_pending[successor] == 0 and self.state[successor] == PENDING:
                self.move(successor, READY)
                self.queue.push(successor)
        return 0

    cdef int skip_descendants(self, int32_t position) except -1:
        cdef Py_ssize_t at = self.n_finished - 1
        cdef int64_t e, end
        cdef int32_t successor
        if self.stopped:
            return 0  # everything that had not started is skipped already
        self.need_causes()
        while at < self.n_finished:
            position = self.finished[at]
            end = self.plan.successor_from(position + 1)
            for e in range(self.plan.successor_from(position), end):
                successor = self.plan.successors[e]
                if self.state[successor] == PENDING:
                    self.move(successor, SKIPPED)
                    self.cause[successor] = position
                    self.finished[self.n_finished] = successor
                    self.n_finished += 1
            at += 1
        return 0

    cdef int need_causes(self) except -1:
        if self.cause == NULL:
            self.cause = <int32_t *> ps_alloc(self.plan.n, sizeof(int32_t))
            if self.cause == NULL:
                raise MemoryError
            memset(self.cause, 0xFF, self.plan.n * sizeof(int32_t))
        return 0

    def finish(self, Py_ssize_t position, uint8_t outcome, double now):
        """Note how a running task ended; its successors become ready or are skipped.  Called once per task.

        Raises
        ------
        IndexError
            No such position.
        ValueError
            The task is not running, or the outcome is none that a running task can have.
        """
        if not 0 <= position < self.plan.n:
            raise IndexError(f"position {position} is out of range for {self.plan.n} tasks")
        if outcome != SUCCEEDED and outcome != FAILED and outcome != CANCELLED:
            raise ValueError(f"a task cannot end with state {outcome}")
        if self.state[position] != RUNNING:
            raise ValueError(f"position {position} is {STATE_NAMES[self.state[position]]}, not running")
        if outcome != SUCCEEDED:
            self.need_causes()  # before anything changes, so that running out of memory changes nothing
        self.finish_one(<int32_t> position, outcome, now)

    def drain(self, double now):
        """Start and complete every task: what the counters and the queue cost alone.  One call per run."""
        cdef int32_t position = self.start_next(now)
        while position >= 0:
            self.finish_one(position, SUCCEEDED, now)
            position = self.start_next(now)

    def stop(self):
        """Skip every task that has not started; running ones go on.  Does nothing the second time."""
        cdef Py_ssize_t position
        if self.stopped:
            return
        self.stopped = True
        while self.queue.count:
            self.queue.pop()
        for position in range(self.plan.n):
            if self.state[position] == PENDING or self.state[position] == READY:
                self.move(<int32_t> position, SKIPPED)
                self.finished[self.n_finished] = <int32_t> position
                self.n_finished += 1
        if self.events is not None:
            self.events.append((EVENT_STOP,))
        if PS_CHECKED:
            self.check()

    # -- recording and replaying ----------------------------------------------------------------------------

    @property
    def recorded(self):
        """The events so far, if the run records them."""
        return None if self.events is None else list(self.events)

    @staticmethod
    def replay(Plan plan, list events, Py_ssize_t max_running=0):
        """Build the state that a list of recorded events leads to.

        Raises
        ------
        ValueError
            The events are not those of a run of this plan.
        """
        cdef RunState self = RunState(plan, max_running, True)
        for event in events:
            if event[0] == EVENT_START:
                if self.start(event[2]) != event[1]:
                    raise ValueError(f"event {event} starts a task that is not the next one")
            elif event[0] == EVENT_FINISH:
                self.finish(event[1], event[2], event[3])
            elif event[0] == EVENT_STOP:
                self.stop()
            else:
                raise ValueError(f"event {event} is of no known kind")
        return self

    def copy(self):
        """A copy that stays as it is, for the report of a run that goes on."""
        cdef RunState other = RunState.__new__(RunState, self.plan, self.max_running)
        cdef Py_ssize_t n = self.plan.n, i
        memcpy(other.n_pending, self.n_pending, n * sizeof(int32_t))
        memcpy(other.state, self.state, n)
        memcpy(other.started, self.started, n * sizeof(double))
        memcpy(other.ended, self.ended, n * sizeof(double))
        memcpy(other.finished, self.finished, self.n_finished * sizeof(int32_t))
        if self.cause != NULL:
            other.need_causes()
            memcpy(other.cause, self.cause, n * sizeof(int32_t))
        other.n_finished = self.n_finished
        other.stopped = self.stopped
        for i in range(N_STATES):
            other.counts[i] = self.counts[i]
        while other.queue.count:
            other.queue.pop()
        for i in range(self.queue.count):
            other.queue.push(self.queue.items[(self.queue.head + i) & (self.queue.room - 1)])
        return other

    # -- reading --------------------------------------------------------------------------------------------

    @property
    def n_running(self):
        """Number of tasks that have started and not ended."""
        return self.counts[RUNNING]

    @property
    def done(self):
        """True once every task is in a terminal state."""
        return self.n_finished == self.plan.n

    @property
    def running(self):
        """Positions of the running tasks, in ascending order; reads the whole column."""
        cdef Py_ssize_t position
        return [position for position in range(self.plan.n) if self.state[position] == RUNNING]

    def tally(self):
        """Number of tasks in each state, in the order of `STATE_NAMES`."""
        cdef Py_ssize_t i
        return tuple([self.counts[i] for i in range(N_STATES)])

    def cause_of(self, Py_ssize_t position):
        """Position of the predecessor because of which a task was skipped; -1 if there is none."""
        if not 0 <= position < self.plan.n:
            raise IndexError(f"position {position} is out of range for {self.plan.n} tasks")
        return -1 if self.cause == NULL else self.cause[position]

    @property
    def states(self):
        """State by position, a read-only view of unsigned bytes."""
        return memoryview(Column.view(self, self.state, self.plan.n, 1, b"B"))

    @property
    def start_times(self):
        """Start by position in the caller's clock, NaN for never; a read-only view of doubles."""
        return memoryview(Column.view(self, self.started, self.plan.n, sizeof(double), b"d"))

    @property
    def end_times(self):
        """End by position in the caller's clock, NaN for not yet; a read-only view of doubles."""
        return memoryview(Column.view(self, self.ended, self.plan.n, sizeof(double), b"d"))

    @property
    def completion_order(self):
        """Positions in the order they reached a terminal state, as a list."""
        cdef Py_ssize_t i
        return [self.finished[i] for i in range(self.n_finished)]

    def ended_since(self, Py_ssize_t seen):
        """The same without the first `seen`."""
        cdef Py_ssize_t i
        if seen < 0:
            raise ValueError(f"seen is {seen}")
        return [self.finished[i] for i in range(seen, self.n_finished)]

    # -- invariants -------------------------------------------------------------------------------------------

    def check(self):
        """Raise AssertionError if an invariant is broken.  Costs O(tasks + dependencies)."""
        cdef Py_ssize_t n = self.plan.n, position, i
        cdef int64_t e
        cdef list tally = [0] * N_STATES
        cdef int32_t *open_predecessors = <int32_t *> ps_alloc_zero(n, sizeof(int32_t))
        if open_predecessors == NULL:
            raise MemoryError
        try:
            for position in range(n):
                tally[self.state[position]] += 1
                if self.state[position] != SUCCEEDED:
                    for e in range(self.plan.successor_from(position), self.plan.successor_from(position + 1)):
                        open_predecessors[self.plan.successors[e]] += 1
            for i in range(N_STATES):
                assert tally[i] == self.counts[i], f"{self.counts[i]} tasks counted {STATE_NAMES[i]}, {tally[i]} are"
            for position in range(n):
                assert self.n_pending[position] == open_predecessors[position], f"counter of {position} is wrong"
                if self.state[position] == PENDING:
                    assert open_predecessors[position] > 0, f"{position} is pending with nothing to wait for"
                elif self.state[position] != SKIPPED:
                    assert open_predecessors[position] == 0, f"{position} was let go too early"
                assert (self.started[position] == self.started[position]) == (
                    RUNNING <= self.state[position] <= CANCELLED), f"start time of {position} is wrong"
            assert self.queue.count == self.counts[READY], "the queue does not hold the ready tasks"
            queued = set()
            for i in range(self.queue.count):
                queued.add(self.queue.items[(self.queue.head + i) & (self.queue.room - 1)])
            assert len(queued) == self.queue.count, "a task is queued twice"
            for position in queued:
                assert self.state[position] == READY, f"{position} is queued but not ready"
            assert not self.max_running or self.counts[RUNNING] <= self.max_running, "too many tasks run"
            assert self.n_finished == sum(tally[SUCCEEDED:]), "the order of ending misses a task"
            assert not self.stopped or self.counts[PENDING] + self.counts[READY] == 0, "stopped, yet tasks wait"
        finally:
            ps_free(open_predecessors)
