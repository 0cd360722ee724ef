"""ReadyQueue: positions that may start, first come first served or by priority."""

from libc.stdint cimport int32_t


cdef class ReadyQueue:
    cdef int32_t *items            # a ring (FIFO) or a binary heap from index 0
    cdef Py_ssize_t room           # a power of two
    cdef Py_ssize_t head           # of the ring
    cdef readonly Py_ssize_t count
    cdef bint by_priority
    cdef const double *priority    # by position, larger first; NULL: all equal
    cdef const double *remaining   # by position, larger first; NULL: all equal

    cdef int reserve(self, Py_ssize_t room) except -1
    cdef int push(self, int32_t position) except -1
    cdef int32_t pop(self) noexcept nogil
    cdef bint before(self, int32_t a, int32_t b) noexcept nogil
    cdef void sift_up(self, Py_ssize_t at) noexcept nogil
    cdef void sift_down(self, Py_ssize_t at) noexcept nogil
