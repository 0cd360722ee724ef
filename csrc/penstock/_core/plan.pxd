"""Plan: everything about a graph that a run needs and that no run changes."""

from libc.stdint cimport int32_t, int64_t

cimport cython

from penstock._core.graph cimport Graph


@cython.final
cdef class Plan:
    cdef readonly Graph graph            # names and predecessors, frozen from now on
    cdef readonly Py_ssize_t n
    cdef readonly int64_t m
    cdef readonly Py_ssize_t depth
    # by position: tasks in the order they become ready when all else is equal (Kahn's order)
    cdef int32_t *task_at                # position -> task
    cdef int32_t *position_of            # task -> position
    cdef int32_t *in_degree
    cdef void *successor_start           # n + 1 entries, int32 or int64
    cdef int32_t *successors             # positions
    cdef bint wide
    cdef int32_t *stage_start            # depth + 1 entries; a stage is a run of positions
    # by task, made when asked for
    cdef int32_t *stage_of_task
    cdef Py_ssize_t parallelism          # -1 until asked for

    cdef int allocate(self) except -1
    cdef int need_stages(self) except -1
    cdef int need_stages(self) except -1
    cdef int longest_path(self, double *weight, list path, double *length) except -1

    # Inline, as all that a run asks several times for each task: a call into another module costs as much again.
    cdef inline int64_t successor_from(self, Py_ssize_t position) noexcept nogil:
        if self.wide:
            return (<int64_t *> self.successor_start)[position]
        return (<int32_t *> self.successor_start)[position]
