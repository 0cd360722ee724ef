"""Rules: what a run does beyond the plan's order; most runs have none."""

from libc.stdint cimport int32_t, uint8_t

cimport cython

from penstock._core.plan cimport Plan


@cython.final
cdef class Rules:
    cdef readonly Plan plan
    # columns, by position; NULL where no task has any
    cdef uint8_t *always             # 1: starts whatever became of its predecessors
    cdef double *priority            # larger first
    cdef int32_t *limits_at          # which of the lists of limits a task uses; -1: none
    # named limits
    cdef Py_ssize_t n_limits
    cdef int32_t *capacity           # by limit
    cdef int32_t *list_start         # the lists of limits, one behind the other
    cdef int32_t *list_items
    cdef readonly bint barriers      # a stage begins when all before it has ended

    cdef int add_limits(self, list capacities, dict uses) except -1
