"""ReadyQueue: which ready task comes next.

Without priorities a ring: positions come out in the order they became ready.  With priorities a binary heap:
larger priority first, then the longer remaining path, then the lower position, which makes the order total and
a run reproducible.
"""

from libc.stdint cimport int32_t

from penstock._core.memory cimport ps_alloc, ps_free


def trial(object operations, object priority=None, object remaining=None):
    """Push every int in a list and pop at every None; return what was popped.  For tests."""
    cdef ReadyQueue queue = ReadyQueue()
    cdef double *keys[2]
    cdef list popped = []
    cdef Py_ssize_t i
    keys[0] = keys[1] = NULL
    try:
        for i, column in enumerate((priority, remaining)):
            if column is not None:
                keys[i] = <double *> ps_alloc(len(column), sizeof(double))
                if keys[i] == NULL:
                    raise MemoryError
                for position, key in enumerate(column):
                    keys[i][<Py_ssize_t> position] = key
                queue.by_priority = True
        queue.priority = keys[0]
        queue.remaining = keys[1]
        for position in operations:
            if position is not None:
                queue.push(position)
            elif queue.count:
                popped.append(queue.pop())
        return popped
    finally:
        queue.priority = queue.remaining = NULL
        ps_free(keys[0])
        ps_free(keys[1])


cdef class ReadyQueue:
    """Positions waiting for their turn.

    Owns its ring or heap; borrows the two columns of keys, which its user keeps alive and unchanged.  One run,
    one thread.  ``push`` may be asked to grow the memory, ``pop`` never fails; the caller asks `count` first.
    """

    def __cinit__(self):
        self.items = NULL
        self.room = self.head = self.count = 0
        self.by_priority = False
        self.priority = self.remaining = NULL
        self.reserve(16)

    def __dealloc__(self):
        ps_free(self.items)

    def __reduce__(self):
        raise TypeError("a ReadyQueue belongs to one run and cannot be pickled")

    cdef int reserve(self, Py_ssize_t room) except -1:
        """Make room for at least `room` positions."""
        cdef Py_ssize_t size = 16, i
        cdef int32_t *items
        while size < room:
            size *= 2
        if size <= self.room:
            return 0
        items = <int32_t *> ps_alloc(size, sizeof(int32_t))
        if items == NULL:
            raise MemoryError
        for i in range(self.count):
            items[i] = self.items[(self.head + i) & (self.room - 1)]
        ps_free(self.items)
        self.items = items
        self.room = size
        self.head = 0
        return 0

    cdef bint before(self, int32_t a, int32_t b) noexcept nogil:
        if self.priority != NULL and self.priority[a] != self.priority[b]:
            return self.priority[a] > self.priority[b]
        if self.remaining != NULL and self.remaining[a] != self.remaining[b]:
            return self.remaining[a] > self.remaining[b]
        return a < b

    cdef void sift_up(self, Py_ssize_t at) noexcept nogil:
        cdef int32_t item = self.items[at]
        cdef Py_ssize_t above
        while at > 0:
            above = (at - 1) >> 1
            if not self.before(item, self.items[above]):
                break
            self.items[at] = self.items[above]
            at = above
        self.items[at] = item

    cdef void sift_down(self, Py_ssize_t at) noexcept nogil:
        cdef int32_t item = self.items[at]
        cdef Py_ssize_t below
        while True:
            below = 2 * at + 1
            if below >= self.count:
                break
            if below + 1 < self.count and self.before(self.items[below + 1], self.items[below]):
                below += 1
            if not self.before(self.items[below], item):
                break
            self.items[at] = self.items[below]
            at = below
        self.items[at] = item
