"""RunState: the state machine of one run."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cimport cython

from penstock._core.plan cimport Plan
from penstock._core.ready cimport ReadyQueue


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
    cdef Py_ssize_t counts[7]
    cdef Py_ssize_t max_running      # 0: no limit
    cdef readonly bint stopped
    cdef list events                 # [(kind, position, time)], or None

    cdef int allocate(self) except -1
    cdef int32_t start_next(self, double now) except -2
    cdef int finish_one(self, int32_t position, uint8_t outcome, double now) except -1
    cdef int release_successors(self, int32_t position) except -1
    cdef int skip_descendants(self, int32_t position) except -1
    cdef int need_causes(self) except -1
    cdef int enqueue_sources(self) except -1

    cdef inline void move(self, int32_t position, uint8_t state) noexcept nogil:
        self.counts[self.state[position]] -= 1
        self.state[position] = state
        self.counts[state] += 1
