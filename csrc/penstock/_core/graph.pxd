"""Graph: names and dependencies in, compact rows out."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t


cdef extern from "rows.h" nogil:
    ctypedef struct ps_names:
        PyObject *list
    ctypedef struct ps_rows:
        void *indptr
        int32_t *indices
        int64_t n
        int64_t m
        int64_t room_n
        int64_t room_m
        int wide
    int64_t ps_row_start(const ps_rows *self, int64_t row)


cdef class Graph:
    # names: in the order they were met; the first n rows are the tasks among them once settled
    cdef ps_names names
    cdef list name_list          # None: the names are the integers 0 .. n - 1
    # rows: the predecessors of each task, in the order the tasks were added
    cdef ps_rows rows
    cdef object borrowed         # the buffers the rows live in, when they are not ours
    cdef int32_t *row_name       # which name each row has; NULL while row i has name i
    cdef int64_t row_name_room
    cdef dict strays             # name index -> dependencies of a task that is not listed (yet)
    cdef bint distinct           # no row lists a task twice
    cdef bint names_distinct     # no two tasks share a name, as far as the name list goes
    cdef bint shared             # a plan or a view uses the arrays: copy before changing anything

    cdef int load(self, list rows) except -1
    cdef int raise_for_row(self, Py_ssize_t bad_row) except -1
    cdef int set_names(self, object names, int64_t n) except -1
    cdef int check(self, object source) except -1
    cdef int trust(self) except -1
    cdef bint row_is_sound(self, int64_t row) noexcept
    cdef int fill_from_ends(self, int32_t *ends, Py_ssize_t m, int64_t n, int64_t n_listed) except -1
    cdef int add_stray(self, int32_t source, int32_t target) except -1
    cdef Graph reversed_rows(self, int64_t n_listed)
    cdef Graph empty_like(self)
    cdef int own_rows(self) except -1
    cdef int spell_out_names(self) except -1
    cdef int set_row_name(self, int32_t index) except -1
    cdef int settle(self) except -1
    cdef int drop_leftover_names(self) except -1
    cdef int make_distinct(self) except -1
    cdef int64_t count_distinct(self, int32_t *seen) noexcept
    cdef int need_sound(self) except -1
    cdef int check_order(self, object source, int32_t *order, int32_t *rank) except -1
    cdef bint depends_on_itself(self, int64_t task) noexcept
