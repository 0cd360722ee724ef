"""The alphabet of the core: index types and the states of a task."""

# Anonymous, so that a state is a plain C integer and can index an array.
cdef enum:
    PENDING = 0      # waits for predecessors
    READY = 1        # all predecessors succeeded, waits for its turn
    RUNNING = 2
    SUCCEEDED = 3    # the first terminal state: everything from here on is final
    FAILED = 4
    CANCELLED = 5
    SKIPPED = 6      # never started: a predecessor did not succeed, or the run was stopped
    N_STATES = 7
