"""Deadlines: what is due when.

One heap for everything of a run that is timed: time-outs of suspended tasks, retries that wait, the run's own
time-out.  The event loop knows only of the earliest.  Each item has at most one deadline and the heap knows its
place, so a time-out that did not happen is taken out at once: a million of them leave nothing behind.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memset

from penstock._core.memory cimport ps_alloc, ps_free

#: Event loops round: a timer may come this much too early, in seconds.
DEF TOLERANCE = 1e-6


cdef class Deadlines:
    """A heap of times by item; of equal times the smaller item comes first.

    Owns its columns.  One run, one thread.

    Parameters
    ----------
    n_items
        Items are the integers from 0 up to here.
    """

    def __cinit__(self, Py_ssize_t n_items):
        if n_items < 0:
            raise ValueError(f"n_items is {n_items}")
        self.n_items = n_items
        self.place = <int32_t *> ps_alloc(n_items, sizeof(int32_t))
        if self.place == NULL:
            raise MemoryError
        memset(self.place, 0xFF, n_items * sizeof(int32_t))

    def __dealloc__(self):
        ps_free(self.when)
        ps_free(self.items)
        ps_free(self.place)

    def __reduce__(self):
        raise TypeError("Deadlines belong to one run and cannot be pickled")

    cdef int reserve(self) except -1:
        """Make room for one more."""
        cdef Py_ssize_t room = max(16, 2 * self.room), i
        cdef double *when
        cdef int32_t *items
        if self.count < self.room:
            return 0
        when = <double *> ps_alloc(room, sizeof(double))
        items = <int32_t *> ps_alloc(room, sizeof(int32_t))
        if when == NULL or items == NULL:
            ps_free(when)
            ps_free(items)
            raise MemoryError
        for i in range(self.count):
            when[i] = self.when[i]
            items[i] = self.items[i]
        ps_free(self.when)
        ps_free(self.items)
        self.when = when
        self.items = items
        self.room = room
        return 0

    cdef void put(self, Py_ssize_t at, double when, int32_t item) noexcept nogil:
        self.when[at] = when
        self.items[at] = item
        self.place[item] = <int32_t> at

    cdef void sift_up(self, Py_ssize_t at) noexcept nogil:
        cdef double when = self.when[at]
        cdef int32_t item = self.items[at]
        cdef Py_ssize_t above
        while at > 0:
            above = (at - 1) >> 1
            if self.when[above] < when or self.when[above] == when and self.items[above] < item:
                break
            self.put(at, self.when[above], self.items[above])
            at = above
        self.put(at, when, item)

    cdef void sift_down(self, Py_ssize_t at) noexcept nogil:
        cdef double when = self.when[at]
        cdef int32_t item = self.items[at]
        cdef Py_ssize_t below
        while True:
            below = 2 * at + 1
            if below >= self.count:
                break
            if below + 1 < self.count and (
                self.when[below + 1] < self.when[below]
                or self.when[below + 1] == self.when[below] and self.items[below + 1] < self.items[below]
            ):
                below += 1
            if when < self.when[below] or when == self.when[below] and item < self.items[below]:
                break
            self.put(at, self.when[below], self.items[below])
            at = below
        self.put(at, when, item)

    cdef int arm_item(self, int32_t item, double when) except -1:
        self.reserve()  # first: without memory the item keeps the deadline that it has
        self.disarm_item(item)
        self.put(self.count, when, item)
        self.count += 1
        self.sift_up(self.count - 1)
        return 0

    cdef void disarm_item(self, int32_t item) noexcept nogil:
        cdef Py_ssize_t at = self.place[item]
        cdef int32_t last
        if at < 0:
            return
        self.place[item] = -1
        self.count -= 1
        if at == self.count:
            return
        # The last one takes its place, and may belong above or below it.
        last = self.items[self.count]
        self.put(at, self.when[self.count], last)
        self.sift_up(at)
        self.sift_down(self.place[last])

    cdef int32_t pop_due(self, double now) noexcept nogil:
        """Take the earliest item if its time has come; -1 if there is none."""
        cdef int32_t item
        if self.count == 0 or self.when[0] > now + TOLERANCE:
            return -1
        item = self.items[0]
        self.disarm_item(item)
        return item

    def arm(self, Py_ssize_t item, double when):
        """Set the deadline of an item, in place of the one that it may have.

        Raises
        ------
        IndexError
            No such item.
        ValueError
            The time is not a number.
        """
        if not 0 <= item < self.n_items:
            raise IndexError(f"item {item} is out of range for {self.n_items}")
        if when != when:
            raise ValueError("the time of a deadline is not a number")
        self.arm_item(<int32_t> item, when)

    def disarm(self, Py_ssize_t item):
        """Take out the deadline of an item, if it has one."""
        if not 0 <= item < self.n_items:
            raise IndexError(f"item {item} is out of range for {self.n_items}")
        self.disarm_item(<int32_t> item)

    def due(self, double now):
        """Take the earliest item if its time has come, and return it; -1 if there is none."""
        return self.pop_due(now)

    @property
    def first(self):
        """The earliest time; infinity if there is none."""
        return self.when[0] if self.count else INFINITY
