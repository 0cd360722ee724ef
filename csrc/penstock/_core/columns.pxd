"""Column and Integers: arrays shown to Python, and arrays taken from it."""

from libc.stdint cimport int64_t


cdef class Column:
    # A read-only array that Python may look at through the buffer protocol.
    cdef object owner
    cdef const void *items
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]
    cdef char format[2]

    @staticmethod
    cdef Column view(object owner, const void *items, Py_ssize_t count, Py_ssize_t size, char format)


cdef class Integers:
    # A buffer of integers from outside, held until this object goes.
    cdef Py_buffer buffer
    cdef char kind                  # b"i" signed, b"u" unsigned
    cdef Py_ssize_t count

    cdef int64_t get(self, Py_ssize_t i) noexcept nogil
    cdef object shown(self, Py_ssize_t i)
    cdef bint fits(self, Py_ssize_t size) noexcept
