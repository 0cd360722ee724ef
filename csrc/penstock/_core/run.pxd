"""RunState: the state machine of one run."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cimport cython

from penstock._core.plan cimport Plan
from penstock._core.ready cimport ReadyQueue
from penstock._core.rules cimport Rules


@cython.final
cdef class RunState:
    cdef readonly Plan plan
    cdef readonly ReadyQueue queue
    # columns, by position
    cdef int32_t *n_pending          # predecessors that have not succeeded
    cdef uint8_t *state
    cdef double *started             # NaN: never
    cdef double *ended
    cdef int32_t *cause              # the predecessor because of which it was skipped; NULL until one is
    # order of ending
    cdef int32_t *finished
    cdef readonly Py_ssize_t n_finished
    # counters
    cdef Py_ssize_t counts[9]
    cdef Py_ssize_t max_running      # 0: no limit
    cdef readonly bint stopped
    cdef list events                 # [(kind, position, time)], or None
    # rules; without any of a kind, what is for them is NULL, False or as large as can be
    cdef readonly Rules rules
    cdef uint8_t *always             # borrowed from the rules
    cdef bint limited
    cdef int32_t *in_use             # by limit: how many running tasks use it
    cdef int32_t *first_parked       # by limit: a chain of ready tasks that wait for it; -1: none
    cdef int32_t *last_parked
    cdef int32_t *next_parked        # by position
    cdef Py_ssize_t n_parked
    cdef Py_ssize_t n_open           # positions below may start: the stages up to the current one
    cdef Py_ssize_t stage            # the current one
    cdef Py_ssize_t stage_left       # its tasks that have not ended

    cdef int allocate(self) except -1
    cdef int32_t start_next(self, double now) except -2
    cdef int finish_one(self, int32_t position, uint8_t outcome, double now) except -1
    cdef int release_successors(self, int32_t position) except -1
    cdef int skip_descendants(self) except -1
    cdef int need_causes(self) except -1
    cdef int enqueue_sources(self) except -1
    cdef int add_rules(self, Rules rules) except -1
    cdef int make_ready(self, int32_t position) except -1
    cdef int enqueue(self, int32_t position) except -1
    cdef int spread(self, Py_ssize_t at) except -1
    cdef int take_limits(self, int32_t position) except -1
    cdef int leave_limits(self, int32_t position) except -1
    cdef int wake_parked(self, int32_t limit) except -1
    cdef int open_stages(self) except -1
    cdef int give_back(self, int32_t position, double now) except -1
    cdef int take_again(self, int32_t position) except -1
    cdef int require_position(self, Py_ssize_t position) except -1
    cdef int require(self, Py_ssize_t position, uint8_t state) except -1
    cdef int recall(self, int32_t position) except -1

    cdef inline void move(self, int32_t position, uint8_t state) noexcept nogil:
        self.counts[self.state[position]] -= 1
        self.state[position] = state
        self.counts[state] += 1
