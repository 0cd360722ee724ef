/* Compressed sparse rows, with 32-bit row pointers while they fit and 64-bit ones beyond. */
#ifndef PENSTOCK_CSR_H
#define PENSTOCK_CSR_H

#include "memory.h"

#define PS_BAD_START 1 /* the first row pointer is not 0 */
#define PS_BAD_ORDER 2 /* a row ends before it begins */
#define PS_BAD_END 3   /* the last row pointer is not the number of edges */
#define PS_BAD_INDEX 4 /* an edge points outside the graph */

#define PTR int32_t
#define NAME(x) x##_32
#include "csr_impl.h"
#undef PTR
#undef NAME

#define PTR int64_t
#define NAME(x) x##_64
#include "csr_impl.h"
#undef PTR
#undef NAME

#endif
