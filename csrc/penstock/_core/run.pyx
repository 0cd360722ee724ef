"""RunState: the state machine of one run.

Stimuli go in (a task was started, it ended so, stop), and the consequences are written to columns: counters,
states, times.  There is no clock, no input or output and no event loop here; times are passed in.  So a run can
be recorded as a list of events and replayed from it, bit for bit.

    PENDING --last predecessor succeeds--> READY --start--> RUNNING --finish--> SUCCEEDED | FAILED | CANCELLED
       |                                   |   ^               |              | SKIPPED | DETACHED
       |                                   |   +-- RETRYING <--+ retry
       +--a predecessor did not succeed----+--stop--> SKIPPED

Skipping spreads to all descendants at once, iteratively: the column of finished tasks, to which every skipped
task is appended anyway, serves as the work list.  It ends at tasks that are to run always: those become ready when
the last predecessor has ended, however it did, and also after a stop.
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
    DETACHED,
    FAILED,
    N_STATES,
    PENDING,
    READY,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    is_terminal,
)
from penstock._core.rules cimport Rules


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
STATE_NAMES = ("pending", "ready", "running", "completed", "failed", "cancelled", "skipped", "detached", "retrying")

#: Kinds of recorded events.
EVENT_START, EVENT_FINISH, EVENT_STOP, EVENT_RETRY, EVENT_AGAIN, EVENT_PARK, EVENT_RESTART, EVENT_RECALL = range(8)

#: How long the tuples of recorded events are.
_LENGTHS = {EVENT_START: 3, EVENT_FINISH: 4, EVENT_STOP: 2, EVENT_RETRY: 3, EVENT_AGAIN: 2, EVENT_PARK: 1,
            EVENT_RESTART: 3, EVENT_RECALL: 2}

#: True in a debug build, which checks the invariants after each event.
CHECKED = bool(PS_CHECKED)


cdef class RunState:
    """Counters, states and times of one run of a plan.

    Owns its columns, all indexed by position in the plan.  Invariants, checked by ``check`` (a debug build calls
    it after each event): the counts agree with the states; a pending task's counter is the number of its
    predecessors that have not succeeded (that have not ended, for a task that runs always); a ready one is in the
    queue once, or parked once because a limit that it uses is exhausted; never more run than allowed.

    One run, one thread: whoever drives the run calls everything here.  Every method finishes its changes before
    it returns, so user code may run, and call back, between any two calls.

    Parameters
    ----------
    plan
        What to run.
    max_running
        How many tasks may run at once; 0 is no limit.
    record
        Keep the list of events, for ``replay`` or ``take_events``.
    rules
        What is to be observed beyond the order; made for the same plan.
    """

    def __cinit__(self, Plan plan not None, Py_ssize_t max_running=0, bint record=False, Rules rules=None):
        if max_running < 0:
            raise ValueError(f"max_running is {max_running}; give 0 for no limit, or a positive number")
        self.plan = plan
        self.max_running = max_running
        self.queue = ReadyQueue()
        self.events = [] if record else None
        self.n_open = plan.n
        self.allocate()
        if rules is not None:
            self.add_rules(rules)
        self.enqueue_sources()

    def __dealloc__(self):
        ps_free(self.n_pending)
        ps_free(self.state)
        ps_free(self.started)
        ps_free(self.ended)
        ps_free(self.cause)
        ps_free(self.finished)
        ps_free(self.in_use)
        ps_free(self.first_parked)
        ps_free(self.last_parked)
        ps_free(self.next_parked)

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
        self.stage_left = n
        return 0

    cdef int add_rules(self, Rules rules) except -1:
        cdef Py_ssize_t n = rules.n_limits
        if rules.plan is not self.plan:
            raise ValueError("these rules were made for another plan")
        self.rules = rules
        self.always = rules.always
        if rules.priority != NULL:
            self.queue.priority = rules.priority
            self.queue.by_priority = True
        if rules.limits_at != NULL:
            self.in_use = <int32_t *> ps_alloc_zero(n, sizeof(int32_t))
            self.first_parked = <int32_t *> ps_alloc(n, sizeof(int32_t))
            self.last_parked = <int32_t *> ps_alloc(n, sizeof(int32_t))
            self.next_parked = <int32_t *> ps_alloc(self.plan.n, sizeof(int32_t))
            if (self.in_use == NULL or self.first_parked == NULL or self.last_parked == NULL
                    or self.next_parked == NULL):
                raise MemoryError
            memset(self.first_parked, 0xFF, n * sizeof(int32_t))
            self.limited = True
        if rules.barriers and self.plan.depth:
            self.n_open = self.plan.stage_start[1]
        return 0

    # -- events -------------------------------------------------------------------------------------------

    cdef int32_t start_next(self, double now) except -2:
        """Take the next ready task and mark it running; -1 if there is none or the limit is reached."""
        cdef int32_t position
        cdef bint parked = False
        while True:
            if self.queue.count == 0 or self.max_running and self.counts[RUNNING] >= self.max_running:
                if parked and self.events is not None:
                    # None started, and yet from here on those in line come in another order.
                    self.events.append((EVENT_PARK,))
                return -1
            position = self.queue.pop()
            if not self.limited or self.take_limits(position):
                break
            parked = True
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
        """The caller guarantees a running position, or one that waits for a retry, and a terminal outcome."""
        if self.state[position] == RETRYING:
            self.started[position] = now  # the attempt that there will not be
        elif self.limited:
            self.leave_limits(position)
        self.move(position, outcome)
        self.ended[position] = now
        self.finished[self.n_finished] = position
        self.n_finished += 1
        if outcome == SUCCEEDED:
            self.release_successors(position)
        else:
            self.skip_descendants()
        if self.n_open < self.plan.n:
            self.stage_left -= 1
            self.open_stages()
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
            if self.n_pending[successor] == 0 and self.state[successor] == PENDING and successor < self.n_open:
                self.enqueue(successor)
                self.move(successor, READY)
        return 0

    cdef int skip_descendants(self) except -1:
        """The task that ended last did not succeed."""
        if self.stopped and self.always == NULL:
            return 0  # everything that had not started is skipped already
        self.need_causes()
        return self.spread(self.n_finished - 1)

    cdef int spread(self, Py_ssize_t at) except -1:
        """Skip what depends on the tasks that ended without success, from the `at`-th on in the order of ending."""
        cdef int64_t e
        cdef int32_t position, successor
        while at < self.n_finished:
            position = self.finished[at]
            for e in range(self.plan.successor_from(position), self.plan.successor_from(position + 1)):
                successor = self.plan.successors[e]
                if self.always != NULL and self.always[successor]:
                    self.n_pending[successor] -= 1
                    if self.n_pending[successor] == 0 and self.state[successor] == PENDING:
                        self.make_ready(successor)
                elif self.state[successor] == PENDING:
                    self.move(successor, SKIPPED)
                    self.cause[successor] = position
                    self.finished[self.n_finished] = successor
                    self.n_finished += 1
            at += 1
        return 0

    cdef int make_ready(self, int32_t position) except -1:
        if position < self.n_open:
            self.enqueue(position)
            self.move(position, READY)
        return 0

    cdef int enqueue(self, int32_t position) except -1:
        if self.limited:
            # Room for those that are parked as well: waking one must not need memory in the midst of an end.
            self.queue.reserve(self.queue.count + self.n_parked + 1)
        self.queue.push(position)
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
            The task is not running, or the outcome is none that it can have.  One that waits for its retry can end as
            well, but only without success.
        """
        self.require_position(position)
        if not is_terminal(outcome):
            raise ValueError(f"a task cannot end with state {outcome}")
        if outcome == DETACHED and self.plan.successor_from(position) != self.plan.successor_from(position + 1):
            raise ValueError(f"position {position} has successors and cannot be detached")
        if self.state[position] != RUNNING and (self.state[position] != RETRYING
                                                or outcome == SUCCEEDED or outcome == DETACHED):
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

    def stop(self, bint entirely=False):
        """Skip every task that has not started; running ones go on.  Does nothing the second time.

        Parameters
        ----------
        entirely
            Also those that run always.
        """
        cdef Py_ssize_t position, before = self.n_finished
        cdef bint spares = self.always != NULL and not entirely
        if self.stopped and (self.always == NULL or not entirely):
            return
        if spares:
            # What a barrier holds back may become ready here, too.
            self.queue.reserve(self.counts[READY] + self.counts[PENDING])
            self.need_causes()
        self.stopped = True
        self.n_open = self.plan.n
        self.queue.count = 0
        self.n_parked = 0
        if self.limited:
            memset(self.first_parked, 0xFF, self.rules.n_limits * sizeof(int32_t))
        for position in range(self.plan.n):
            if self.state[position] != PENDING and self.state[position] != READY:
                continue
            if spares and self.always[position]:
                if self.state[position] == READY:
                    self.queue.push(<int32_t> position)
                elif self.n_pending[position] == 0:  # held by a barrier
                    self.make_ready(<int32_t> position)
            else:
                self.move(<int32_t> position, SKIPPED)
                self.finished[self.n_finished] = <int32_t> position
                self.n_finished += 1
        if entirely:
            # Nothing is spared from here on; the counters of those that were are not kept any longer.
            self.always = NULL
        elif spares:
            self.spread(before)
        if self.events is not None:
            self.events.append((EVENT_STOP, entirely))
        if PS_CHECKED:
            self.check()

    # -- attempts -------------------------------------------------------------------------------------------

    cdef int give_back(self, int32_t position, double now) except -1:
        """A running task's attempt failed and there will be another: until then it takes no place of others."""
        if self.limited:
            self.leave_limits(position)
        self.move(position, RETRYING)
        self.started[position] = NAN
        if self.events is not None:
            self.events.append((EVENT_RETRY, position, now))
        if PS_CHECKED:
            self.check()
        return 0

    cdef int take_again(self, int32_t position) except -1:
        """The time of a retry has come: it lines up behind what is ready."""
        self.enqueue(position)
        self.move(position, READY)
        if self.events is not None:
            self.events.append((EVENT_AGAIN, position))
        if PS_CHECKED:
            self.check()
        return 0

    cdef int recall(self, int32_t position) except -1:
        """A task whose retry was due is not to be started after all; called right before a stop, which empties the
        queue that it is in."""
        self.move(position, RETRYING)
        if self.events is not None:
            self.events.append((EVENT_RECALL, position))
        return 0

    cdef int require_position(self, Py_ssize_t position) except -1:
        """Raise IndexError unless there is such a position: callers come from outside."""
        if not 0 <= position < self.plan.n:
            raise IndexError(f"position {position} is out of range for {self.plan.n} tasks")
        return 0

    cdef int require(self, Py_ssize_t position, uint8_t state) except -1:
        """Raise IndexError or ValueError unless there is such a position, in this state."""
        self.require_position(position)
        if self.state[position] != state:
            raise ValueError(
                f"position {position} is {STATE_NAMES[self.state[position]]}, not {STATE_NAMES[state]}")
        return 0

    def restart(self, Py_ssize_t position, double now):
        """Note that a running task has failed and is tried again at once, in the same place.

        Raises
        ------
        IndexError
            No such position.
        ValueError
            The task is not running.
        """
        self.require(position, RUNNING)
        self.started[position] = now
        if self.events is not None:
            self.events.append((EVENT_RESTART, position, now))

    def retry(self, Py_ssize_t position, double now):
        """Note that a running task has failed and will be tried again.

        Raises
        ------
        IndexError
            No such position.
        ValueError
            The task is not running.
        """
        self.require(position, RUNNING)
        self.give_back(<int32_t> position, now)

    def again(self, Py_ssize_t position):
        """Let a task that waited for its retry become ready.

        Raises
        ------
        IndexError
            No such position.
        ValueError
            The task does not wait for a retry.
        """
        self.require(position, RETRYING)
        self.take_again(<int32_t> position)

    # -- named limits -----------------------------------------------------------------------------------------

    cdef int take_limits(self, int32_t position) except -1:
        """Take a place of each limit that a ready task uses; if one is exhausted park the task there."""
        cdef Rules rules = self.rules
        cdef int32_t used = rules.limits_at[position], limit, full = -1
        cdef int32_t i
        if used < 0:
            return True
        for i in range(rules.list_start[used], rules.list_start[used + 1]):
            limit = rules.list_items[i]
            if self.in_use[limit] >= rules.capacity[limit]:
                full = limit
                break
        if full < 0:
            for i in range(rules.list_start[used], rules.list_start[used + 1]):
                self.in_use[rules.list_items[i]] += 1
            return True
        self.next_parked[position] = -1
        if self.first_parked[full] < 0:
            self.first_parked[full] = position
        else:
            self.next_parked[self.last_parked[full]] = position
        self.last_parked[full] = position
        self.n_parked += 1
        # It may have been let go for a place that it does not take now: the next one in line gets it.
        for i in range(rules.list_start[used], rules.list_start[used + 1]):
            limit = rules.list_items[i]
            if self.in_use[limit] < rules.capacity[limit]:
                self.wake_parked(limit)
        return False

    cdef int leave_limits(self, int32_t position) except -1:
        cdef Rules rules = self.rules
        cdef int32_t used = rules.limits_at[position], i
        if used >= 0:
            for i in range(rules.list_start[used], rules.list_start[used + 1]):
                self.in_use[rules.list_items[i]] -= 1
                self.wake_parked(rules.list_items[i])
        return 0

    cdef int wake_parked(self, int32_t limit) except -1:
        """Let the first task that is parked at a limit try again; the queue has room for all that are ready."""
        cdef int32_t position = self.first_parked[limit]
        if position >= 0:
            self.queue.push(position)
            self.first_parked[limit] = self.next_parked[position]
            self.n_parked -= 1
        return 0

    # -- barriers -----------------------------------------------------------------------------------------------

    cdef int open_stages(self) except -1:
        """Open the next stage if all tasks of the current one have ended."""
        cdef Py_ssize_t position, before
        while self.stage_left == 0 and self.n_open < self.plan.n:
            self.stage += 1
            before = self.n_open
            self.n_open = self.plan.stage_start[self.stage + 1]
            for position in range(before, self.n_open):
                if self.state[position] == PENDING:
                    # All its predecessors are in stages before.
                    self.make_ready(<int32_t> position)
                    self.stage_left += 1
        return 0

    # -- recording and replaying ----------------------------------------------------------------------------

    @property
    def recorded(self):
        """The events so far, if the run records them."""
        return None if self.events is None else list(self.events)

    def take_events(self):
        """Return the recorded events and begin a new list; None if nothing is recorded."""
        events = self.events
        if events is not None:
            self.events = []
        return events

    @staticmethod
    def replay(Plan plan, list events, Py_ssize_t max_running=0, Rules rules=None):
        """Build the state that a list of recorded events leads to.

        Raises
        ------
        ValueError
            The events are not those of a run of this plan.
        """
        cdef RunState self = RunState(plan, max_running, True, rules)
        for event in events:
            # Indexing is unchecked here, and this list comes from outside.
            if not isinstance(event, tuple) or len(event) < 1 or len(event) != _LENGTHS.get(event[0]):
                raise ValueError(f"event {event} is of no known kind")
            if event[0] == EVENT_START:
                if self.start(event[2]) != event[1]:
                    raise ValueError(f"event {event} starts a task that is not the next one")
            elif event[0] == EVENT_FINISH:
                self.finish(event[1], event[2], event[3])
            elif event[0] == EVENT_STOP:
                self.stop(event[1])
            elif event[0] == EVENT_RETRY:
                self.retry(event[1], event[2])
            elif event[0] == EVENT_PARK:
                if self.start(0.0) >= 0:
                    raise ValueError(f"event {event} starts no task, but one may start")
            elif event[0] == EVENT_RESTART:
                self.restart(event[1], event[2])
            elif event[0] == EVENT_RECALL:
                if not 0 <= event[1] < plan.n or self.state[<Py_ssize_t> event[1]] != READY:
                    raise ValueError(f"event {event} recalls a task that is not ready")
                self.recall(event[1])
            else:
                self.again(event[1])
        return self

    def copy(self):
        """A copy that stays as it is, for the report of a run that goes on."""
        cdef RunState other = RunState.__new__(RunState, self.plan, self.max_running, False, self.rules)
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
        other.always = self.always
        if self.limited:
            memcpy(other.in_use, self.in_use, self.rules.n_limits * sizeof(int32_t))
            memcpy(other.first_parked, self.first_parked, self.rules.n_limits * sizeof(int32_t))
            memcpy(other.last_parked, self.last_parked, self.rules.n_limits * sizeof(int32_t))
            memcpy(other.next_parked, self.next_parked, n * sizeof(int32_t))
        other.n_parked = self.n_parked
        other.n_open = self.n_open
        other.stage = self.stage
        other.stage_left = self.stage_left
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
        self.require_position(position)
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
        cdef int32_t successor
        cdef bint ended, has_start
        # Once everything was stopped entirely the counters of tasks that ran always are not kept.
        cdef bint spared_before = self.always == NULL and self.rules is not None and self.rules.always != NULL
        cdef list tally = [0] * N_STATES
        cdef int32_t *open_predecessors = <int32_t *> ps_alloc_zero(n, sizeof(int32_t))
        if open_predecessors == NULL:
            raise MemoryError
        try:
            for position in range(n):
                tally[self.state[position]] += 1
                if self.state[position] != SUCCEEDED:
                    ended = is_terminal(self.state[position])
                    for e in range(self.plan.successor_from(position), self.plan.successor_from(position + 1)):
                        successor = self.plan.successors[e]
                        open_predecessors[successor] += not (ended and self.always != NULL and self.always[successor])
            for i in range(N_STATES):
                assert tally[i] == self.counts[i], f"{self.counts[i]} tasks counted {STATE_NAMES[i]}, {tally[i]} are"
            for position in range(n):
                assert self.n_pending[position] == open_predecessors[position] or (
                    spared_before and self.rules.always[position]), f"counter of {position} is wrong"
                if self.state[position] == PENDING:
                    assert open_predecessors[position] > 0 or position >= self.n_open, (
                        f"{position} is pending with nothing to wait for")
                elif self.state[position] != SKIPPED and not (spared_before and self.rules.always[position]):
                    assert open_predecessors[position] == 0, f"{position} was let go too early"
                if self.state[position] < SKIPPED:
                    has_start = self.started[position] == self.started[position]
                    assert has_start == (self.state[position] >= RUNNING), f"start time of {position} is wrong"
            assert self.queue.count + self.n_parked == self.counts[READY], "the queue does not hold the ready tasks"
            queued = set()
            for i in range(self.queue.count):
                queued.add(self.queue.items[(self.queue.head + i) & (self.queue.room - 1)])
            assert len(queued) == self.queue.count, "a task is queued twice"
            for position in queued:
                assert self.state[position] == READY, f"{position} is queued but not ready"
            assert not self.max_running or self.counts[RUNNING] <= self.max_running, "too many tasks run"
            assert self.n_finished == sum(tally[SUCCEEDED:DETACHED + 1]), "the order of ending misses a task"
            if self.limited:
                self.check_limits()
            for position in range(n):
                # A ready one may be there for what it leaves behind: a task that waited for its retry at the stop.
                assert not self.stopped or self.state[position] != PENDING or (
                    self.always != NULL and self.always[position]), f"stopped, yet {position} waits"
        finally:
            ps_free(open_predecessors)

    def check_limits(self):
        """Raise AssertionError unless each limit is used by as many running tasks as it says, and allows them."""
        cdef Rules rules = self.rules
        cdef Py_ssize_t position, parked = 0
        cdef int32_t i, at, used
        cdef Py_ssize_t waiting, free
        cdef list in_use = [0] * rules.n_limits
        cdef list queued = [0] * rules.n_limits
        for position in range(self.plan.n):
            if self.state[position] == RUNNING and rules.limits_at[position] >= 0:
                for i in range(rules.list_start[rules.limits_at[position]],
                               rules.list_start[rules.limits_at[position] + 1]):
                    in_use[rules.list_items[i]] += 1
        for position in range(self.queue.count):
            used = rules.limits_at[self.queue.items[(self.queue.head + position) & (self.queue.room - 1)]]
            if used >= 0:
                for i in range(rules.list_start[used], rules.list_start[used + 1]):
                    queued[rules.list_items[i]] += 1
        for i in range(rules.n_limits):
            assert in_use[i] == self.in_use[i], f"limit {i} is used by {in_use[i]} tasks, not {self.in_use[i]}"
            assert in_use[i] <= rules.capacity[i], f"limit {i} is exceeded"
            at = self.first_parked[i]
            waiting = 0
            while at >= 0:
                assert self.state[at] == READY, f"{at} is parked but not ready"
                waiting += 1
                at = self.next_parked[at]
            parked += waiting
            # Whoever waits at a limit with room would wait for ever, unless enough in the queue take it or pass it on.
            free = rules.capacity[i] - in_use[i]
            assert queued[i] >= min(free, waiting), f"limit {i} has room and tasks parked"
        assert parked == self.n_parked, f"{self.n_parked} tasks are counted as parked, {parked} are"
