"""Arrays to look at from Python, and arrays from Python to look at.

`Column` shows an array of the core through the buffer protocol, read-only.  `Integers` is the other direction: any
buffer of integers, checked for shape and type before a single item is read.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef class Column:
    """A read-only array owned by another object of the core, for ``memoryview``.

    Safe to read from any thread: the array never changes while a view of it exists.
    """

    @staticmethod
    cdef Column view(object owner, const void *items, Py_ssize_t count, Py_ssize_t size, char format):
        cdef Column self = Column.__new__(Column)
        self.owner = owner
        self.items = items
        self.shape[0] = count
        self.strides[0] = size
        self.format[0] = format
        self.format[1] = 0
        return self

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("the arrays of a plan are read-only")
        buffer.buf = <void *> self.items
        buffer.obj = self
        buffer.len = self.shape[0] * self.strides[0]
        buffer.itemsize = self.strides[0]
        buffer.readonly = 1
        buffer.ndim = 1
        buffer.format = self.format if flags & PyBUF_FORMAT else NULL
        buffer.shape = self.shape if flags & PyBUF_ND else NULL
        buffer.strides = self.strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL

    def __reduce__(self):
        raise TypeError("a view of a plan's array cannot be pickled; pickle the plan, or list(view)")


cdef int64_t read_integer(const void *items, char kind, Py_ssize_t size, Py_ssize_t i) noexcept nogil:
    """One item of a buffer of integers; what does not fit into 63 bits comes out negative."""
    cdef int64_t eight
    cdef int32_t four
    cdef int16_t two
    cdef const char *item = <const char *> items + i * size
    # Copied, because a buffer may begin at any address.
    if size == 8:
        memcpy(&eight, item, 8)
        return eight
    if size == 4:
        memcpy(&four, item, 4)
        return four if kind == b"i" else <int64_t> <uint32_t> four
    if size == 2:
        memcpy(&two, item, 2)
        return two if kind == b"i" else <int64_t> <uint16_t> two
    return (<const int8_t *> item)[0] if kind == b"i" else <int64_t> (<const uint8_t *> item)[0]


cdef class Integers:
    """A buffer of integers from outside, held until this object goes; only C-contiguous one-dimensional ones."""

    def __cinit__(self, object source, str label):
        try:
            PyObject_GetBuffer(source, &self.buffer, PyBUF_FORMAT | PyBUF_STRIDES)
        except (TypeError, ValueError, BufferError) as error:
            raise TypeError(
                f"{label} is {type(source).__name__!r}, which offers no buffer of integers ({error}); "
                f"give an array such as array.array('i', ...) or numpy.int32"
            ) from None
        if self.buffer.ndim != 1:
            raise ValueError(f"{label} has {self.buffer.ndim} dimensions; give a one-dimensional array")
        self.count = self.buffer.shape[0]
        if self.count > 1 and self.buffer.strides != NULL and self.buffer.strides[0] != self.buffer.itemsize:
            raise ValueError(f"{label} is not contiguous; pass a contiguous copy of it")
        cdef bytes format = self.buffer.format if self.buffer.format != NULL else b"B"
        # '=' and '@' are this machine's order; so is '<' on a little-endian one.
        cdef bytes order = b"@=<" if little_endian() else b"@=>!"
        if len(format) == 2 and format[0] in order:
            format = format[1:]
        if format in (b"b", b"h", b"i", b"l", b"q", b"n"):
            self.kind = b"i"
        elif format in (b"B", b"H", b"I", b"L", b"Q", b"N"):
            self.kind = b"u"
        else:
            raise TypeError(
                f"{label} has items of format {format.decode('ascii', 'replace')!r}, which are not integers "
                f"in this machine's byte order; convert it, for instance to int32"
            )

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)

    cdef int64_t get(self, Py_ssize_t i) noexcept nogil:
        return read_integer(self.buffer.buf, self.kind, self.buffer.itemsize, i)

    cdef object shown(self, Py_ssize_t i):
        """One item as messages show it, whatever its size."""
        cdef int64_t item = self.get(i)
        return item if self.kind == b"i" else <uint64_t> item

    cdef bint fits(self, Py_ssize_t size) noexcept:
        """Can the items be used where they are, as signed integers of `size` bytes?"""
        return self.kind == b"i" and self.buffer.itemsize == size and <size_t> self.buffer.buf % size == 0


cdef bint little_endian() noexcept:
    cdef uint16_t one = 1
    return (<uint8_t *> &one)[0] == 1
