"""Deadlines: what is due when."""

from libc.stdint cimport int32_t

cimport cython


@cython.final
cdef class Deadlines:
    cdef double *when                # a binary heap: times, and what is due then
    cdef int32_t *items
    cdef Py_ssize_t room
    cdef readonly Py_ssize_t count
    cdef int32_t *place              # by item: where in the heap it is; -1: nowhere
    cdef Py_ssize_t n_items

    cdef int reserve(self) except -1
    cdef void put(self, Py_ssize_t at, double when, int32_t item) noexcept nogil
    cdef void sift_up(self, Py_ssize_t at) noexcept nogil
    cdef void sift_down(self, Py_ssize_t at) noexcept nogil
    cdef int arm_item(self, int32_t item, double when) except -1
    cdef void disarm_item(self, int32_t item) noexcept nogil
    cdef int32_t pop_due(self, double now) noexcept nogil
