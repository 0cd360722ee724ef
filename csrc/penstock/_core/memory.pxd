"""The core's allocator."""

cdef extern from "memory.h" nogil:
    void *ps_alloc(size_t count, size_t size)
    void *ps_alloc_zero(size_t count, size_t size)
    void ps_free(void *block)
    void PS_PREFETCH(const void *address)
