/* Arrays of the core: one allocator, one prefetch macro.
 *
 * Large arrays are read at random places, and with 4 kB pages the address translation misses as often as
 * the cache does.  Asking for huge pages from 4 MB on roughly halves the time of planning a randomly
 * numbered graph; where the system does not offer them the advice is ignored.
 */
#ifndef PENSTOCK_MEMORY_H
#define PENSTOCK_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PS_PREFETCH(address) __builtin_prefetch((const void *)(address), 0, 3)
#define PS_PREFETCH_WRITE(address) __builtin_prefetch((const void *)(address), 1, 3)
#define PS_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define PS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define PS_PREFETCH(address) ((void)0)
#define PS_PREFETCH_WRITE(address) ((void)0)
#define PS_LIKELY(condition) (condition)
#define PS_UNLIKELY(condition) (condition)
#endif

#define PS_HUGE_FROM ((size_t)4 << 20)
#define PS_HUGE_PAGE ((size_t)2 << 20)

/* Return `count` items of `size` bytes, not initialised, or NULL.  Free with ps_free. */
static void *ps_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (size != 0 && count > (SIZE_MAX - PS_HUGE_PAGE) / size)
        return NULL;
    bytes = count * size;
    if (bytes == 0)
        bytes = 1;
#if defined(__linux__)
    if (bytes >= PS_HUGE_FROM) {
        void *block = NULL;
        if (posix_memalign(&block, PS_HUGE_PAGE, bytes) != 0)
            return NULL;
        /* Whole pages only, so that a graph just over the limit does not hold a page it hardly uses. */
        madvise(block, bytes / PS_HUGE_PAGE * PS_HUGE_PAGE, MADV_HUGEPAGE);
        return block;
    }
#endif
    return malloc(bytes);
}

static void *ps_alloc_zero(size_t count, size_t size)
{
    void *block = ps_alloc(count, size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

static void ps_free(void *block)
{
    free(block);
}

/* Grow (or cut) an array to `count` items, keeping the first `kept`; NULL leaves the old one untouched. */
static void *ps_resize(void *block, size_t kept, size_t count, size_t size)
{
    void *larger;
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    /* Shrinking keeps a large array where it is; growing one copies it to whole huge pages. */
    if (count <= kept || count * size < PS_HUGE_FROM)
        return realloc(block, count * size ? count * size : 1);
    larger = ps_alloc(count, size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, block, kept * size);
    free(block);
    return larger;
}

#endif
