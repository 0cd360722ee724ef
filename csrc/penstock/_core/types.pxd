"""The alphabet of the core: index types and the states of a task."""

# Anonymous, so that a state is a plain C integer and can index an array.
cdef enum:
    PENDING = 0      # waits for predecessors
    READY = 1        # may start: waits for its turn
    RUNNING = 2
    SUCCEEDED = 3    # the first terminal state
    FAILED = 4
    CANCELLED = 5
    SKIPPED = 6      # not done: a predecessor did not succeed, the run was stopped, or the body said so
    DETACHED = 7     # started, and from there on nobody's business; the last terminal state
    RETRYING = 8     # an attempt failed, and the time of the next one has not come
    N_STATES = 9


cdef inline bint is_terminal(int state) noexcept nogil:
    return SUCCEEDED <= state <= DETACHED
