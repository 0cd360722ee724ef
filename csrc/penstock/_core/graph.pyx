"""Graph: names are interned once, dependencies become rows of indices.

A graph is filled from Python in bulk or task by task and then *settled*: row i belongs to name i, names that
are dependencies but no tasks stand behind the rows.  Bulk loads of well-formed input are settled from the
start, at no cost; only tasks added after they were mentioned out of order need renumbering.

One thread at a time may change a graph; a settled graph may be read from several.
"""

cimport cython
from cpython cimport array
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, INT32_MAX
from libc.string cimport memcpy, memset

from penstock._core.columns cimport Column, Integers
from penstock._core.memory cimport ps_alloc, ps_alloc_zero, ps_free


cdef extern from "rows.h":
    int64_t ps_narrow_limit
    int ps_rows_init(ps_rows *self) except -1
    int ps_rows_room(ps_rows *self, int64_t rows, int64_t edges) except -1
    int ps_rows_widen(ps_rows *self, int64_t rows) except -1
    void ps_rows_end(ps_rows *self, int64_t edges) nogil
    void ps_rows_trim(ps_rows *self)
    int ps_rows_load(ps_rows *self, ps_names *names, PyObject *rows, Py_ssize_t *bad_row)
    int ps_names_point(ps_names *self) except -1
    void ps_names_unpoint(ps_names *self)
    int ps_names_index(ps_names *self) except -1
    int32_t ps_names_find(ps_names *self, PyObject *name) except -2
    int32_t ps_names_add(ps_names *self, PyObject *name) except -2
    void ps_names_forget(ps_names *self)
    Py_ssize_t ps_names_used(const ps_names *self)
    int ps_raise() except -1


cdef extern from "search.h" nogil:
    int64_t ps_generations(const ps_rows *rows, int32_t *order, int32_t *start, int32_t *pending)
    int64_t ps_find_cycle(const ps_rows *rows, int32_t start, uint8_t *state, int32_t *path, int64_t *edge,
                          int64_t *back)
    int64_t ps_reduce(const ps_rows *rows, const int32_t *order, const int32_t *rank, int32_t *out, int32_t *kept,
                      int32_t *mark, int32_t *stack, int32_t *sorted)


cdef extern from "csr.h" nogil:
    int PS_BAD_START, PS_BAD_ORDER, PS_BAD_END, PS_BAD_INDEX
    int ps_check_32(const int32_t *indptr, const int32_t *indices, int64_t n, int64_t m, int64_t *where)
    int ps_check_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t m, int64_t *where)
    int64_t ps_transpose_32(const int32_t *indptr, const int32_t *indices, int64_t n, int64_t n_out,
                            int32_t *out_ptr, int32_t *out)
    int64_t ps_transpose_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t n_out,
                            int64_t *out_ptr, int32_t *out)
    int64_t ps_distinct_32(const int32_t *indptr, const int32_t *indices, int64_t n, int32_t *out_ptr, int32_t *out,
                           int32_t *seen)
    int64_t ps_distinct_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t *out_ptr, int32_t *out,
                           int32_t *seen)
    int64_t ps_reachable_32(const int32_t *indptr, const int32_t *indices, int64_t n, int64_t count,
                            int32_t *found, uint8_t *mark)
    int64_t ps_reachable_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t count,
                            int32_t *found, uint8_t *mark)
    int64_t ps_components_32(const int32_t *indptr, const int32_t *indices, int64_t n, int32_t *component,
                             int32_t *low, int32_t *stack, int32_t *path, int32_t *edge)
    int64_t ps_components_64(const int64_t *indptr, const int32_t *indices, int64_t n, int32_t *component,
                             int32_t *low, int32_t *stack, int32_t *path, int64_t *edge)
    int64_t ps_short_cycle_32(const int32_t *indptr, const int32_t *indices, int64_t n, const int32_t *component,
                              int32_t start, int32_t *parent, int32_t *queue, int64_t *met, int32_t *cycle)
    int64_t ps_short_cycle_64(const int64_t *indptr, const int32_t *indices, int64_t n, const int32_t *component,
                              int32_t start, int32_t *parent, int32_t *queue, int64_t *met, int32_t *cycle)


cdef array.array _INT32 = array.array("i")


def set_narrow_limit(int64_t limit):
    """Set from how many edges on row pointers are 64 bits wide; returns the limit before.  For tests."""
    global ps_narrow_limit
    before = ps_narrow_limit
    ps_narrow_limit = limit
    return before


cdef list row_of(dict rows, object key):
    """The list of a key, made if there is none; without `setdefault`, which Python 3.13.0 gets wrong (see names.h)."""
    row = rows.get(key)
    if row is None:
        row = rows[key] = []
    return <list> row


cdef int as_index(object number, int64_t bound) except -1:
    """An index given by Python, checked against the number of tasks."""
    cdef int64_t i = number
    if i < 0 or i >= bound:
        raise IndexError(f"task index {number} is out of range for {bound} tasks")
    return <int> i


# Never cleared by the collector: `__dealloc__` asks `borrowed` whether the arrays are ours to free.  A cycle through
# a graph is broken elsewhere, at its lists.
@cython.no_gc_clear
cdef class Graph:
    """The tasks of a graph and their predecessors as rows of indices, with the index of their names.

    Owns the rows (unless `from_arrays` borrowed a fitting buffer) and the name tables.  Invariant: after
    ``settle`` row i is the task with name i and every entry of a row is below ``len(names)``; an entry at or
    above the number of rows is a dependency that is no task.  Not thread-safe while it is being filled.
    """

    def __cinit__(self):
        memset(&self.names, 0, sizeof(self.names))
        self.row_name = NULL
        self.row_name_room = 0
        self.distinct = True
        self.shared = False
        self.names_distinct = True
        self.borrowed = None
        self.strays = None
        self.name_list = []
        self.names.list = <PyObject *> self.name_list
        ps_rows_init(&self.rows)

    def __dealloc__(self):
        ps_names_forget(&self.names)
        if self.borrowed is None:
            ps_free(self.rows.indptr)
            ps_free(self.rows.indices)
        ps_free(self.row_name)

    def __reduce__(self):
        raise TypeError("a Graph of the core cannot be pickled; pickle the plan of the TaskGraph")

    # -- filling --------------------------------------------------------------------------------------

    @staticmethod
    def from_rows(list names, list rows):
        """Build from distinct names and, for each, the list or tuple of its predecessors' names.

        Both lists become this object's own.  A TypeError's ``row`` attribute is the position at fault.
        """
        cdef Graph self = Graph.__new__(Graph)
        self.name_list = names
        self.names.list = <PyObject *> names
        self.load(rows)
        return self

    @staticmethod
    def from_successor_rows(list names, list rows):
        """Build from distinct names and, for each, the list or tuple of its successors' names."""
        cdef Graph other = Graph.from_rows(names, rows)
        return other.reversed_rows(len(rows))

    @staticmethod
    def from_endpoints(list names, list sources, list targets, bint listed):
        """Build from the names at both ends of every edge; with `listed`, only the given names are tasks."""
        cdef Graph self = Graph.__new__(Graph)
        cdef Py_ssize_t n_listed = len(names), m = len(sources), e
        cdef int32_t *ends
        self.name_list = names
        self.names.list = <PyObject *> names
        self.names_distinct = n_listed == 0
        ps_names_index(&self.names)
        ends = <int32_t *> ps_alloc(2 * m, sizeof(int32_t))
        if ends == NULL:
            raise MemoryError
        try:
            for e in range(m):
                ends[2 * e] = ps_names_add(&self.names, <PyObject *> sources[e])
                ends[2 * e + 1] = ps_names_add(&self.names, <PyObject *> targets[e])
            self.fill_from_ends(ends, m, len(self.name_list), n_listed if listed else len(self.name_list))
        finally:
            ps_free(ends)
        return self

    @staticmethod
    def from_endpoint_arrays(object sources, object targets, object names):
        """Build from two equally long buffers of task indices; without names the integers are the names."""
        cdef Integers source = Integers(sources, "src"), target = Integers(targets, "dst")
        cdef Graph self = Graph.__new__(Graph)
        cdef Py_ssize_t m = source.count, e
        cdef int64_t n = -1, index, bound = INT32_MAX - 1
        cdef int32_t *ends
        if source.count != target.count:
            raise ValueError(f"src has {source.count} items and dst {target.count}; every edge needs one in each")
        if names is not None:
            bound = len(names)
        ends = <int32_t *> ps_alloc(2 * m, sizeof(int32_t))
        if ends == NULL:
            raise MemoryError
        try:
            for e in range(2 * m):
                index = target.get(e // 2) if e & 1 else source.get(e // 2)
                if index < 0 or index >= bound:
                    raise ValueError(f"{'dst' if e & 1 else 'src'}[{e // 2}] is "
                                     f"{(target if e & 1 else source).shown(e // 2)}; "
                                     f"task numbers go from 0 to {bound - 1}")
                ends[e] = <int32_t> index
                n = index if index > n else n
            n = n + 1 if names is None else bound
            self.set_names(names, n)
            self.fill_from_ends(ends, m, n, n)
        finally:
            ps_free(ends)
        return self

    @staticmethod
    def from_arrays(object indptr, object indices, bint successors, object names):
        """Build from CSR arrays: checked as a whole, then used in place if they are int32 (or wide and int64).

        Raises
        ------
        TypeError
            An argument is not a buffer of integers.
        ValueError
            The arrays are no CSR rows; the message says where.
        OverflowError
            More tasks than a 32-bit index can number.
        """
        cdef Integers starts = Integers(indptr, "indptr"), items = Integers(indices, "indices")
        cdef Graph self = Graph.__new__(Graph)
        cdef int64_t n = starts.count - 1, m = items.count, i, value
        if n < 0:
            raise ValueError("indptr is empty; it needs one item more than there are tasks")
        if n >= INT32_MAX:
            raise OverflowError(f"{n:,} tasks are more than the 2,147,483,646 that a graph can hold")
        self.set_names(names, n)
        self.distinct = False
        cdef bint wide = m > ps_narrow_limit
        cdef bint fits = items.fits(sizeof(int32_t)) and starts.fits(sizeof(int64_t) if wide else sizeof(int32_t))
        if fits and not successors:
            ps_free(self.rows.indptr)
            ps_free(self.rows.indices)
            self.borrowed = (starts, items)
            self.rows.indptr = starts.buffer.buf
            self.rows.indices = <int32_t *> items.buffer.buf
            self.rows.room_n = self.rows.room_m = 0
            self.rows.wide = wide
        else:
            ps_rows_room(&self.rows, n, m)
            for i in range(n + 1):
                value = starts.get(i)
                if value < 0 or value > m:
                    raise ValueError(f"indptr[{i}] is {starts.shown(i)}; row pointers go from 0 to {m}, "
                                     f"the number of edges")
                if self.rows.wide:
                    (<int64_t *> self.rows.indptr)[i] = value
                else:
                    (<int32_t *> self.rows.indptr)[i] = <int32_t> value
            for i in range(m):
                value = items.get(i)
                # Out of range is out of range: -1 says so in 32 bits too, and the check below finds the place.
                self.rows.indices[i] = <int32_t> value if 0 <= value < n else -1
        self.rows.n = n
        self.rows.m = m
        self.check(items)
        if successors:
            return self.reversed_rows(n)
        return self

    cdef int check(self, object source) except -1:
        cdef Integers items = source
        cdef int64_t where = 0
        cdef int problem
        with nogil:
            if self.rows.wide:
                problem = ps_check_64(<const int64_t *> self.rows.indptr, self.rows.indices, self.rows.n, self.rows.m,
                                      &where)
            else:
                problem = ps_check_32(<const int32_t *> self.rows.indptr, self.rows.indices, self.rows.n, self.rows.m,
                                      &where)
        if problem == PS_BAD_START:
            raise ValueError(f"indptr[0] is {ps_row_start(&self.rows, 0)}; the first row starts at 0")
        if problem == PS_BAD_ORDER:
            raise ValueError(f"indptr[{where + 1}] is {ps_row_start(&self.rows, where + 1)}, less than "
                             f"indptr[{where}]; row pointers never decrease")
        if problem == PS_BAD_END:
            raise ValueError(f"the last item of indptr is {where}, but indices has {self.rows.m} items")
        if problem == PS_BAD_INDEX:
            raise ValueError(f"indices[{where}] is {items.shown(where)}; task numbers go from 0 to {self.rows.n - 1}")
        return 0

    cdef int trust(self) except -1:
        """Check borrowed arrays again: their owner may have changed them since."""
        if self.borrowed is not None:
            self.check(self.borrowed[1])
        return 0

    cdef bint row_is_sound(self, int64_t row) noexcept:
        """Is one row of borrowed arrays still what was checked?  For readers of single rows."""
        cdef int64_t start, end, e
        if self.borrowed is None:
            return True
        start = ps_row_start(&self.rows, row)
        end = ps_row_start(&self.rows, row + 1)
        if not 0 <= start <= end <= self.rows.m:
            return False
        for e in range(start, end):
            if not 0 <= self.rows.indices[e] < self.rows.n:
                return False
        return True

    cdef int set_names(self, object names, int64_t n) except -1:
        if names is None:
            self.name_list = None
            self.names.list = NULL
        else:
            self.name_list = list(names)
            self.names.list = <PyObject *> self.name_list
            self.names_distinct = False
            # Counted after the copy: a sequence may say one length and have another.
            if len(self.name_list) != n:
                raise ValueError(f"names has {len(self.name_list)} items, indptr is for {n} tasks")
        return 0

    cdef int load(self, list rows) except -1:
        """Append rows for the names from ``rows.n`` on; they are distinct and already in the list."""
        cdef Py_ssize_t bad_row = -1
        cdef int failed
        self.distinct = False
        ps_names_point(&self.names)
        try:
            failed = ps_rows_load(&self.rows, &self.names, <PyObject *> rows, &bad_row)
        finally:
            ps_names_unpoint(&self.names)
        if failed < 0:
            self.raise_for_row(bad_row)
        ps_rows_trim(&self.rows)
        return 0

    cdef int raise_for_row(self, Py_ssize_t bad_row) except -1:
        """Pass on the exception of a failed load; a TypeError (an unhashable name) gets the row it came from."""
        try:
            ps_raise()
        except TypeError as error:
            if bad_row >= 0:
                error.row = bad_row
            raise

    cdef int fill_from_ends(self, int32_t *ends, Py_ssize_t m, int64_t n, int64_t n_listed) except -1:
        """Sort (source, target) pairs by target, keeping their order; targets beyond `n_listed` are strays."""
        cdef Py_ssize_t e
        cdef int64_t i, at
        cdef int64_t *cursor = <int64_t *> ps_alloc_zero(n + 2, sizeof(int64_t))
        if cursor == NULL:
            raise MemoryError
        self.distinct = False
        try:
            for e in range(m):
                if ends[2 * e + 1] < n_listed:
                    cursor[ends[2 * e + 1] + 2] += 1
                else:
                    self.add_stray(ends[2 * e], ends[2 * e + 1])
            for i in range(n_listed):
                cursor[i + 2] += cursor[i + 1]
            ps_rows_room(&self.rows, n_listed, cursor[n_listed + 1])
            for e in range(m):
                if ends[2 * e + 1] < n_listed:
                    at = cursor[ends[2 * e + 1] + 1]
                    cursor[ends[2 * e + 1] + 1] += 1
                    self.rows.indices[at] = ends[2 * e]
            self.rows.m = cursor[n_listed]
            for i in range(n_listed):
                ps_rows_end(&self.rows, cursor[i + 1])
        finally:
            ps_free(cursor)
        ps_rows_trim(&self.rows)
        return 0

    cdef int add_stray(self, int32_t source, int32_t target) except -1:
        if self.strays is None:
            self.strays = {}
        row_of(self.strays, target).append(source)
        return 0

    cdef Graph reversed_rows(self, int64_t n_listed):
        """A graph with the same names whose rows are this one's columns."""
        cdef Graph other = self.empty_like()
        cdef int64_t n = self.rows.n, m = self.rows.m
        cdef int64_t n_out = n if self.name_list is None else max(n, len(self.name_list))
        cdef int64_t i, e
        other.distinct = False
        if self.rows.wide:
            # Even if the edges would fit into 32 bits by now, since repeated ones were dropped.
            ps_rows_widen(&other.rows, n_out + 1)
        ps_rows_room(&other.rows, n_out + 1, m)
        with nogil:
            if self.rows.wide:
                ps_transpose_64(<int64_t *> self.rows.indptr, self.rows.indices, n, n_out,
                                <int64_t *> other.rows.indptr, other.rows.indices)
            else:
                ps_transpose_32(<int32_t *> self.rows.indptr, self.rows.indices, n, n_out,
                                <int32_t *> other.rows.indptr, other.rows.indices)
        # Rows of names that are no tasks go aside: they are a problem, unless the task is added later.
        for i in range(n_listed, n_out):
            for e in range(ps_row_start(&other.rows, i), ps_row_start(&other.rows, i + 1)):
                other.add_stray(other.rows.indices[e], <int32_t> i)
        other.rows.n = n_listed
        other.rows.m = ps_row_start(&other.rows, n_listed)
        ps_rows_trim(&other.rows)
        return other

    cdef Graph empty_like(self):
        """A graph without rows and with this one's names."""
        cdef Graph other = Graph.__new__(Graph)
        other.name_list = None if self.name_list is None else self.name_list.copy()
        other.names.list = <PyObject *> other.name_list if other.name_list is not None else NULL
        other.names_distinct = self.names_distinct
        return other

    def copy(self):
        """A graph of its own with the same tasks, so that one of the two can be changed."""
        cdef Graph other = self.empty_like()
        cdef size_t width = sizeof(int64_t) if self.rows.wide else sizeof(int32_t)
        self.trust()
        if self.rows.wide:
            ps_rows_widen(&other.rows, self.rows.n)
        ps_rows_room(&other.rows, self.rows.n, self.rows.m)
        memcpy(other.rows.indptr, self.rows.indptr, (self.rows.n + 1) * width)
        memcpy(other.rows.indices, self.rows.indices, self.rows.m * sizeof(int32_t))
        other.rows.n = self.rows.n
        other.rows.m = self.rows.m
        other.distinct = self.distinct
        if self.strays is not None:
            other.strays = {index: list(sources) for index, sources in self.strays.items()}
        if self.row_name != NULL:
            other.row_name = <int32_t *> ps_alloc(self.rows.n, sizeof(int32_t))
            if other.row_name == NULL:
                raise MemoryError
            other.row_name_room = self.rows.n
            memcpy(other.row_name, self.row_name, self.rows.n * sizeof(int32_t))
        return other

    def add(self, object name, object dependencies):
        """Append a task with a list or tuple of the names it depends on; called once per task."""
        cdef int64_t m
        cdef int32_t index, source
        cdef list given = list(dependencies), sources = [], names
        if self.shared:
            raise RuntimeError("a plan or a view uses the arrays of this graph; change a copy of it")
        self.own_rows()
        self.spell_out_names()
        names = self.name_list
        ps_names_index(&self.names)
        index = ps_names_add(&self.names, <PyObject *> name)
        for item in given:
            sources.append(ps_names_add(&self.names, <PyObject *> item))
        # Nothing is written before all names are known, as their comparison may do anything to this graph: add
        # tasks, which is fine, or plan it.
        if self.shared or self.name_list is not names:
            raise RuntimeError("the graph was changed by the comparison of its names")
        ps_rows_room(&self.rows, 1, len(sources))
        m = self.rows.m
        for source in sources:
            self.rows.indices[m] = source
            m += 1
        if self.strays is not None and index in self.strays:
            ps_rows_room(&self.rows, 1, m - self.rows.m + len(self.strays[index]))
            for source in self.strays.pop(index):
                self.rows.indices[m] = source
                m += 1
        if m - self.rows.m > 1:
            self.distinct = False
        self.set_row_name(index)
        ps_rows_end(&self.rows, m)
        self.rows.m = m

    cdef int own_rows(self) except -1:
        """Copy borrowed arrays before the first change."""
        cdef Graph copy
        if self.borrowed is not None:
            copy = self.copy()
            self.rows, copy.rows = copy.rows, self.rows
            self.borrowed, copy.borrowed = copy.borrowed, self.borrowed
        return 0

    cdef int spell_out_names(self) except -1:
        if self.name_list is None:
            self.name_list = list(range(self.rows.n))
            self.names.list = <PyObject *> self.name_list
        return 0

    cdef int set_row_name(self, int32_t index) except -1:
        """Note which name the row about to be ended has."""
        cdef int64_t i, room
        cdef int32_t *larger
        if self.row_name == NULL:
            if index == self.rows.n:
                return 0
            self.row_name_room = 0
        if self.rows.n >= self.row_name_room:
            room = max(16, 2 * self.rows.n)
            larger = <int32_t *> ps_alloc(room, sizeof(int32_t))
            if larger == NULL:
                raise MemoryError
            for i in range(self.rows.n):
                larger[i] = self.row_name[i] if self.row_name != NULL else <int32_t> i
            ps_free(self.row_name)
            self.row_name = larger
            self.row_name_room = room
        self.row_name[self.rows.n] = index
        return 0

    # -- settling ---------------------------------------------------------------------------------------

    cdef int settle(self) except -1:
        """Renumber so that row i has name i.  Returns 0 and changes nothing if a name has two rows, else 1."""
        cdef int64_t n = self.rows.n, n_names, i
        cdef int32_t *row_of
        cdef list names
        if self.row_name == NULL:
            return 1
        n_names = len(self.name_list)
        row_of = <int32_t *> ps_alloc(n_names, sizeof(int32_t))
        if row_of == NULL:
            raise MemoryError
        try:
            for i in range(n_names):
                row_of[i] = -1
            for i in range(n):
                if row_of[self.row_name[i]] >= 0:
                    return 0
                row_of[self.row_name[i]] = <int32_t> i
            names = [self.name_list[self.row_name[i]] for i in range(n)]
            for i in range(n_names):
                if row_of[i] < 0:
                    row_of[i] = <int32_t> len(names)
                    names.append(self.name_list[i])
            for i in range(self.rows.m):
                self.rows.indices[i] = row_of[self.rows.indices[i]]
            if self.strays is not None:
                self.strays = {row_of[<int32_t> index]: [row_of[<int32_t> source] for source in sources]
                               for index, sources in self.strays.items()}
            self.name_list = names
            self.names.list = <PyObject *> names
            ps_names_forget(&self.names)
            ps_free(self.row_name)
            self.row_name = NULL
        finally:
            ps_free(row_of)
        return 1

    cdef int drop_leftover_names(self) except -1:
        """Forget names that were met in a task refused halfway; the caller has seen that no row mentions them."""
        if self.name_list is not None and len(self.name_list) > self.rows.n:
            self.name_list = self.name_list[:self.rows.n]
            self.names.list = <PyObject *> self.name_list
            ps_names_forget(&self.names)
        return 0

    cdef int make_distinct(self) except -1:
        """Drop dependencies listed twice by one task."""
        cdef int64_t n_names, m, n = self.rows.n, i
        cdef int32_t *seen
        if self.distinct:
            return 0
        self.trust()
        n_names = max(n, len(self.name_list) if self.name_list is not None else 0)
        seen = <int32_t *> ps_alloc(n_names, sizeof(int32_t))
        if seen == NULL:
            raise MemoryError
        memset(seen, 0xFF, n_names * sizeof(int32_t))
        try:
            if self.count_distinct(seen) < self.rows.m:
                # Only now is it worth copying arrays that belong to somebody else.
                self.own_rows()
                memset(seen, 0xFF, n_names * sizeof(int32_t))
                if self.rows.wide:
                    m = ps_distinct_64(<int64_t *> self.rows.indptr, self.rows.indices, n,
                                       <int64_t *> self.rows.indptr, self.rows.indices, seen)
                else:
                    m = ps_distinct_32(<int32_t *> self.rows.indptr, self.rows.indices, n,
                                       <int32_t *> self.rows.indptr, self.rows.indices, seen)
                self.rows.m = m
                ps_rows_trim(&self.rows)
            self.distinct = True
        finally:
            ps_free(seen)
        return 0

    cdef int64_t count_distinct(self, int32_t *seen) noexcept:
        cdef int64_t row, e, kept = 0
        for row in range(self.rows.n):
            for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1)):
                if seen[self.rows.indices[e]] != <int32_t> row:
                    seen[self.rows.indices[e]] = <int32_t> row
                    kept += 1
        return kept

    def adopt_unlisted(self):
        """Make a task without dependencies of every name that is only mentioned."""
        cdef int64_t i
        self.settle()
        if self.name_list is None:
            return
        self.own_rows()
        i = self.rows.n
        ps_rows_room(&self.rows, len(self.name_list) - i, self.rows.m)
        while self.rows.n < len(self.name_list):
            for source in (self.strays or {}).pop(self.rows.n, ()):
                ps_rows_room(&self.rows, 1, 1)
                self.rows.indices[self.rows.m] = source
                self.rows.m += 1
            ps_rows_end(&self.rows, self.rows.m)
        if self.rows.n > i:
            self.distinct = False
            ps_rows_trim(&self.rows)

    @property
    def is_shared(self):
        """True once a plan or a view uses the arrays; a change then needs a copy."""
        return self.shared

    # -- problems -----------------------------------------------------------------------------------------

    def duplicates(self):
        """Names with more than one row, as (name, how many), in the order of their first row."""
        cdef dict counts
        cdef int64_t i
        if self.row_name != NULL:
            counts = {}
            for i in range(self.rows.n):
                counts[self.row_name[i]] = counts.get(self.row_name[i], 0) + 1
            return [(self.name_list[index], count) for index, count in counts.items() if count > 1]
        if self.names_distinct:
            return []
        # Names that came as a sequence beside the rows: the table has fewer entries than the list.
        ps_names_index(&self.names)
        if ps_names_used(&self.names) == len(self.name_list):
            self.names_distinct = True
            return []
        counts = {}
        for name in self.name_list[:self.rows.n]:
            counts[name] = counts.get(name, 0) + 1
        return [(name, count) for name, count in counts.items() if count > 1]

    def unlisted(self):
        """Edges to or from names that are no tasks, each once as (task name, missing name), in row order."""
        cdef int64_t row, e
        cdef int32_t source
        cdef set rows_of = None
        cdef dict found = {}  # pairs of name indices, in order
        if self.name_list is None:
            return []
        if self.row_name != NULL:
            # Names with two rows keep the graph from settling, so ask which names have a row at all.
            rows_of = {self.row_name[row] for row in range(self.rows.n)}
        elif len(self.name_list) > self.rows.n:
            rows_of = set(range(self.rows.n))
        if rows_of is not None:
            for row in range(self.rows.n):
                for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1)):
                    source = self.rows.indices[e]
                    if source not in rows_of:
                        found[self.row_name[row] if self.row_name != NULL else row, source] = None
        for index, sources in (self.strays or {}).items():
            for stray in sources:
                found[stray, index] = None
        return [(self.name_list[<Py_ssize_t> task], self.name_list[<Py_ssize_t> missing]) for task, missing in found]

    # -- reading ------------------------------------------------------------------------------------------

    def __len__(self):
        return self.rows.n

    @property
    def n_edges(self):
        """Number of distinct dependencies."""
        self.settle()
        self.make_distinct()
        return self.rows.m

    @property
    def names(self):
        """The tasks' names in the order they were added: a range, or a list that is not to be changed."""
        self.settle()
        if self.name_list is None:
            return range(self.rows.n)
        if self.row_name != NULL:
            return [self.name_list[self.row_name[row]] for row in range(self.rows.n)]
        # A graph that may still grow gives a copy, so that what is looked at does not change.
        if self.shared and len(self.name_list) == self.rows.n:
            return self.name_list
        return self.name_list[:self.rows.n]

    @property
    def all_names(self):
        """What the entries of the rows index: the tasks' names and behind them those that are no tasks."""
        self.settle()
        return range(self.rows.n) if self.name_list is None else self.name_list

    def find(self, object name):
        """Position of the task with this name, -1 if there is none; TypeError for an unhashable name."""
        cdef int32_t index
        cdef int64_t row
        self.settle()
        if self.name_list is None:
            # What equals an int has its hash, so there is one place to look; range.index would try them all.
            row = hash(name)
            return row if 0 <= row < self.rows.n and name == row else -1
        ps_names_index(&self.names)
        index = ps_names_find(&self.names, <PyObject *> name)
        if self.row_name == NULL:
            return index if index < self.rows.n else -1
        for row in range(self.rows.n):
            if self.row_name[row] == index:
                return row
        return -1

    def predecessors_of(self, object task):
        """Indices of the tasks that one depends on, in the order given; for a graph that is settled."""
        cdef int64_t e
        cdef int row = as_index(task, self.rows.n)
        self.make_distinct()
        if not self.row_is_sound(row):
            self.trust()
        return [self.rows.indices[e]
                for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1))]

    def rows_of_names(self):
        """One list of predecessors' names per task; needs a graph that settles."""
        cdef int64_t row, e
        cdef list found = []
        self.make_distinct()
        self.trust()
        names = self.name_list if self.name_list is not None else range(self.rows.n)
        for row in range(self.rows.n):
            found.append([names[self.rows.indices[e]]
                          for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1))])
        return found

    def merged(self):
        """A graph in which the rows of tasks with the same name are one; settled, so that it can be searched."""
        cdef dict rows = {}
        cdef int64_t row, e
        cdef int32_t index
        if self.row_name != NULL:
            for row in range(self.rows.n):
                sources = row_of(rows, self.name_list[self.row_name[row]])
                for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1)):
                    sources.append(self.name_list[self.rows.indices[e]])
        else:
            ps_names_index(&self.names)
            for row in range(self.rows.n):
                index = ps_names_find(&self.names, <PyObject *> self.name_list[row])
                sources = row_of(rows, self.name_list[index])
                for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1)):
                    index = ps_names_find(&self.names, <PyObject *> self.name_list[self.rows.indices[e]])
                    sources.append(self.name_list[index])
        return Graph.from_rows(list(rows), list(rows.values()))

    @property
    def settled(self):
        """True if every task has one row and row i has name i."""
        return self.settle() == 1

    def arrays(self):
        """The rows as two views: row pointers and indices."""
        self.settle()
        self.make_distinct()
        self.trust()
        self.shared = True
        return (
            memoryview(Column.view(self, self.rows.indptr, self.rows.n + 1, 8 if self.rows.wide else 4,
                                   b"q" if self.rows.wide else b"i")),
            memoryview(Column.view(self, self.rows.indices, self.rows.m, 4, b"i")),
        )

    def transposed(self):
        """A graph with the same names whose rows are the successors of each task."""
        self.settle()
        self.make_distinct()
        self.trust()
        return self.reversed_rows(self.rows.n)

    def restricted(self, list tasks):
        """A graph of some tasks only, given in ascending order, with the dependencies among them."""
        cdef Graph other = Graph.__new__(Graph)
        cdef int64_t n = self.rows.n, e, m = 0, before = -1
        cdef int32_t number = 0
        cdef int32_t *renumbered
        self.need_sound()
        self.make_distinct()
        renumbered = <int32_t *> ps_alloc(n, sizeof(int32_t))
        if renumbered == NULL:
            raise MemoryError
        memset(renumbered, 0xFF, n * sizeof(int32_t))
        try:
            for task in tasks:
                as_index(task, n)
                if <int64_t> task <= before:
                    raise ValueError("the tasks are not in ascending order")
                before = task
                renumbered[before] = number
                number += 1
                m += ps_row_start(&self.rows, before + 1) - ps_row_start(&self.rows, before)
            ps_rows_room(&other.rows, len(tasks), m)
            m = 0
            for task in tasks:
                before = task
                for e in range(ps_row_start(&self.rows, before), ps_row_start(&self.rows, before + 1)):
                    if renumbered[self.rows.indices[e]] >= 0:
                        other.rows.indices[m] = renumbered[self.rows.indices[e]]
                        m += 1
                ps_rows_end(&other.rows, m)
            other.rows.m = m
        finally:
            ps_free(renumbered)
        names = self.all_names
        other.name_list = [names[task] for task in tasks]
        other.names.list = <PyObject *> other.name_list
        ps_rows_trim(&other.rows)
        return other

    def reachable(self, list tasks):
        """Indices of all tasks that can be reached along the rows from the given ones, those included."""
        cdef int64_t n = self.rows.n, count = 0, i
        cdef int32_t *found
        cdef uint8_t *mark
        self.trust()
        for task in set(tasks):
            as_index(task, n)
        found = <int32_t *> ps_alloc(n, sizeof(int32_t))
        mark = <uint8_t *> ps_alloc_zero(n, 1)
        try:
            if found == NULL or mark == NULL:
                raise MemoryError
            for task in dict.fromkeys(tasks):
                found[count] = task
                count += 1
            with nogil:
                if self.rows.wide:
                    count = ps_reachable_64(<int64_t *> self.rows.indptr, self.rows.indices, n, count, found, mark)
                else:
                    count = ps_reachable_32(<int32_t *> self.rows.indptr, self.rows.indices, n, count, found, mark)
            return [found[i] for i in range(count)]
        finally:
            ps_free(found)
            ps_free(mark)

    def generations(self):
        """Kahn's order when the rows are successors.

        Returns
        -------
        tuple of (array of int, array of int)
            The rows in the order in which their last predecessor comes, and where in it each generation starts; the
            last item of the second is the length of the first.  Rows on or behind a cycle are missing.
        """
        cdef int64_t n = self.rows.n, count
        cdef array.array order, start
        cdef int32_t *order_items
        cdef int32_t *start_items
        cdef int32_t *pending
        self.need_sound()
        self.make_distinct()
        order = array.clone(_INT32, n, False)
        start = array.clone(_INT32, n + 1, False)
        order_items, start_items = <int32_t *> order.data.as_ints, <int32_t *> start.data.as_ints
        pending = <int32_t *> ps_alloc_zero(n, sizeof(int32_t))
        if pending == NULL:
            raise MemoryError
        with nogil:
            count = ps_generations(&self.rows, order_items, start_items, pending)
        ps_free(pending)
        array.resize(order, start_items[count])
        array.resize(start, count + 1)
        return order, start

    def find_cycle(self, object starts):
        """The first cycle met when the rows are followed depth first from each of `starts` in turn.

        Returns
        -------
        list of int
            The cycle in the direction of the rows, not closed; empty if none can be reached.
        """
        cdef int64_t n = self.rows.n, length = 0, back = 0, i
        cdef int32_t start
        cdef uint8_t *state
        cdef int32_t *path
        cdef int64_t *edge
        self.need_sound()
        state = <uint8_t *> ps_alloc_zero(n, 1)
        path = <int32_t *> ps_alloc(n, sizeof(int32_t))
        edge = <int64_t *> ps_alloc(n, sizeof(int64_t))
        try:
            if state == NULL or path == NULL or edge == NULL:
                raise MemoryError
            for task in starts:
                start = as_index(task, n)
                with nogil:
                    length = ps_find_cycle(&self.rows, start, state, path, edge, &back)
                if length:
                    break
            return [path[i] for i in range(back, length)]
        finally:
            ps_free(state)
            ps_free(path)
            ps_free(edge)

    def reduced(self, object order):
        """A graph whose rows lack what another entry of the same row leads to: the transitive reduction.

        Parameters
        ----------
        order
            A buffer of all rows, in which the entries of a row come before it.

        Raises
        ------
        ValueError
            It is no such order.
        """
        cdef Integers given = Integers(order, "order")
        cdef int64_t n = self.rows.n, i, e, row
        cdef int32_t *arrays
        cdef int32_t *out = NULL
        cdef Graph other
        self.need_sound()
        self.make_distinct()
        # order, rank, kept, mark, stack, sorted
        arrays = <int32_t *> ps_alloc(6 * n, sizeof(int32_t))
        out = <int32_t *> ps_alloc(self.rows.m, sizeof(int32_t))
        try:
            if arrays == NULL or out == NULL:
                raise MemoryError
            memset(arrays + n, 0xFF, 3 * n * sizeof(int32_t))
            self.check_order(given, arrays, arrays + n)
            with nogil:
                ps_reduce(&self.rows, arrays, arrays + n, out, arrays + 2 * n, arrays + 3 * n, arrays + 4 * n,
                          arrays + 5 * n)
            other = self.empty_like()
            ps_rows_room(&other.rows, n, self.rows.m)
            for row in range(n):
                e = ps_row_start(&self.rows, row)
                for i in range(arrays[2 * n + row]):
                    other.rows.indices[other.rows.m] = out[e + i]
                    other.rows.m += 1
                ps_rows_end(&other.rows, other.rows.m)
            ps_rows_trim(&other.rows)
            return other
        finally:
            ps_free(arrays)
            ps_free(out)

    cdef int need_sound(self) except -1:
        """Make sure that every entry of a row is a row, before C code indexes with it."""
        if self.settle() == 0 or self.unlisted():
            raise ValueError("the graph has duplicate or unlisted names; see Graph.duplicates and Graph.unlisted")
        self.trust()
        return 0

    cdef int check_order(self, object source, int32_t *order, int32_t *rank) except -1:
        """Copy an order from outside and invert it; `rank` comes with -1 everywhere."""
        cdef Integers given = source
        cdef int64_t n = self.rows.n, i, e, row
        if given.count != n:
            raise ValueError(f"the order has {given.count} items for {n} rows")
        for i in range(n):
            row = given.get(i)
            if row < 0 or row >= n or rank[row] >= 0:
                raise ValueError(f"order[{i}] is {row}; every row from 0 to {n - 1} stands in it once")
            order[i] = <int32_t> row
            rank[row] = <int32_t> i
        for i in range(n):
            row = order[i]
            for e in range(ps_row_start(&self.rows, row), ps_row_start(&self.rows, row + 1)):
                if rank[self.rows.indices[e]] >= i:
                    raise ValueError(f"order[{i}] is row {row}, which comes before its entry {self.rows.indices[e]}")
        return 0

    def cycles(self, Py_ssize_t most):
        """One short cycle for each strongly connected component that has one.

        Returns
        -------
        tuple of (list of list of int, int)
            At most `most` cycles, each as indices in the order dependency before dependent, not closed; and in
            how many components there is a cycle.  In the order of the first task of each component.
        """
        cdef int64_t n = self.rows.n, i, k, length, met = 0
        cdef int32_t *component
        cdef int32_t *scratch
        cdef void *edge
        cdef int32_t *parent
        cdef uint8_t *done
        cdef Py_ssize_t total = 0
        cdef list found = []
        self.settle()
        self.trust()
        component = <int32_t *> ps_alloc(n, sizeof(int32_t))
        scratch = <int32_t *> ps_alloc(3 * n, sizeof(int32_t))
        edge = ps_alloc(n, sizeof(int64_t))
        parent = <int32_t *> ps_alloc(n, sizeof(int32_t))
        done = <uint8_t *> ps_alloc_zero(n, 1)
        try:
            if component == NULL or scratch == NULL or edge == NULL or parent == NULL or done == NULL:
                raise MemoryError
            with nogil:
                if self.rows.wide:
                    ps_components_64(<int64_t *> self.rows.indptr, self.rows.indices, n, component, scratch,
                                     scratch + n, scratch + 2 * n, <int64_t *> edge)
                else:
                    ps_components_32(<int32_t *> self.rows.indptr, self.rows.indices, n, component, scratch,
                                     scratch + n, scratch + 2 * n, <int32_t *> edge)
            # Members of each component, counted: one alone is a cycle only if it depends on itself.
            memset(scratch, 0, n * sizeof(int32_t))
            memset(parent, 0xFF, n * sizeof(int32_t))
            for i in range(n):
                scratch[component[i]] += 1
            for i in range(n):
                if done[component[i]] or scratch[component[i]] == 1 and not self.depends_on_itself(i):
                    continue
                done[component[i]] = 1
                total += 1
                if total > most:
                    continue
                # Breadth first from the first task; what was met is wiped again, so the whole is linear.
                if self.rows.wide:
                    length = ps_short_cycle_64(<int64_t *> self.rows.indptr, self.rows.indices, n, component,
                                               <int32_t> i, parent, scratch + n, &met, scratch + 2 * n)
                else:
                    length = ps_short_cycle_32(<int32_t *> self.rows.indptr, self.rows.indices, n, component,
                                               <int32_t> i, parent, scratch + n, &met, scratch + 2 * n)
                for k in range(met):
                    parent[scratch[n + k]] = -1
                # The rows lead from a task to what it depends on, so the cycle comes out dependent first.
                found.append([scratch[2 * n + k] for k in range(length - 1, -1, -1)])
            return found, total
        finally:
            ps_free(component)
            ps_free(scratch)
            ps_free(edge)
            ps_free(parent)
            ps_free(done)

    cdef bint depends_on_itself(self, int64_t task) noexcept:
        cdef int64_t e
        for e in range(ps_row_start(&self.rows, task), ps_row_start(&self.rows, task + 1)):
            if self.rows.indices[e] == task:
                return True
        return False
