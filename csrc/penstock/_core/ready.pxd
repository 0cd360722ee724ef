"""ReadyQueue: positions that may start, first come first served or by priority."""

from libc.stdint cimport int32_t

cimport cython


@cython.final
cdef class ReadyQueue:
    cdef int32_t *items            # a ring (FIFO) or a binary heap from index 0
    cdef Py_ssize_t room           # a power of two
    cdef Py_ssize_t head           # of the ring
    cdef readonly Py_ssize_t count
    cdef bint by_priority
    cdef const double *priority    # by position, larger first; NULL: all equal
    cdef const double *remaining   # by position, larger first; NULL: all equal

    cdef int reserve(self, Py_ssize_t room) except -1
    cdef bint before(self, int32_t a, int32_t b) noexcept nogil
    cdef void sift_up(self, Py_ssize_t at) noexcept nogil
    cdef void sift_down(self, Py_ssize_t at) noexcept nogil

    cdef inline int push(self, int32_t position) except -1:
        if self.count == self.room:
            self.reserve(2 * self.room)
        if self.by_priority:
            self.items[self.count] = position
            self.count += 1
            self.sift_up(self.count - 1)
        else:
            self.items[(self.head + self.count) & (self.room - 1)] = position
            self.count += 1
        return 0

    cdef inline int32_t pop(self) noexcept nogil:
        """Take the next position; the caller has seen that there is one."""
        cdef int32_t first
        self.count -= 1
        if not self.by_priority:
            first = self.items[self.head]
            self.head = (self.head + 1) & (self.room - 1)
            return first
        first = self.items[0]
        self.items[0] = self.items[self.count]
        self.sift_down(0)
        return first
