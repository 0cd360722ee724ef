/* Rows that grow: the dependencies of task after task, as they come from Python. */
#ifndef PENSTOCK_ROWS_H
#define PENSTOCK_ROWS_H

#include "names.h"

/* Row pointers are 32 bits wide until the edges outgrow them.  Tests lower the limit to reach the wide form. */
static int64_t ps_narrow_limit = INT32_MAX;

typedef struct {
    void *indptr; /* int32_t or int64_t, n + 1 of them */
    int32_t *indices;
    int64_t n, m;         /* rows and edges held */
    int64_t room_n, room_m; /* rows and edges there is memory for; 0 while the arrays belong to somebody else */
    int wide;
} ps_rows;

static inline int64_t ps_row_start(const ps_rows *self, int64_t row)
{
    return self->wide ? ((const int64_t *)self->indptr)[row] : ((const int32_t *)self->indptr)[row];
}

static int ps_rows_init(ps_rows *self)
{
    memset(self, 0, sizeof(*self));
    self->indptr = ps_alloc_zero(8, sizeof(int32_t));
    self->indices = (int32_t *)ps_alloc(8, sizeof(int32_t));
    if (self->indptr == NULL || self->indices == NULL) {
        ps_free(self->indptr);
        ps_free(self->indices);
        memset(self, 0, sizeof(*self));
        PyErr_NoMemory();
        return -1;
    }
    self->room_n = 7;
    self->room_m = 8;
    return 0;
}

/* Make the row pointers 64 bits wide, with room for `rows` more of them. */
static int ps_rows_widen(ps_rows *self, int64_t rows)
{
    int64_t room = self->room_n > self->n + rows ? self->room_n : self->n + rows, i;
    int64_t *wider = (int64_t *)ps_alloc((size_t)room + 1, sizeof(int64_t));
    if (wider == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (i = 0; i <= self->n; i++)
        wider[i] = ((int32_t *)self->indptr)[i];
    ps_free(self->indptr);
    self->indptr = wider;
    self->room_n = room;
    self->wide = 1;
    return 0;
}

static int ps_rows_room(ps_rows *self, int64_t rows, int64_t edges)
{
    size_t width;
    if (self->n + rows >= INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a graph holds at most 2,147,483,646 tasks");
        return -1;
    }
    if (!self->wide && self->m + edges > ps_narrow_limit && ps_rows_widen(self, rows) < 0)
        return -1;
    width = self->wide ? sizeof(int64_t) : sizeof(int32_t);
    if (self->n + rows > self->room_n) {
        int64_t room = self->n + rows > self->room_n * 2 ? self->n + rows : self->room_n * 2;
        void *larger = ps_resize(self->indptr, (size_t)self->n + 1, (size_t)room + 1, width);
        if (larger == NULL)
            goto memory;
        self->indptr = larger;
        self->room_n = room;
    }
    if (self->m + edges > self->room_m) {
        int64_t room = self->m + edges > self->room_m * 2 ? self->m + edges : self->room_m * 2;
        int32_t *larger = (int32_t *)ps_resize(self->indices, (size_t)self->m, (size_t)room, sizeof(int32_t));
        if (larger == NULL)
            goto memory;
        self->indices = larger;
        self->room_m = room;
    }
    return 0;
memory:
    PyErr_NoMemory();
    return -1;
}

/* End the current row after the edges written so far; there must be room for the row. */
static inline void ps_rows_end(ps_rows *self, int64_t edges)
{
    self->n++;
    if (self->wide)
        ((int64_t *)self->indptr)[self->n] = edges;
    else
        ((int32_t *)self->indptr)[self->n] = (int32_t)edges;
}

/* Give back what the arrays have too much of; a failure to shrink is no failure. */
static void ps_rows_trim(ps_rows *self)
{
    size_t width = self->wide ? sizeof(int64_t) : sizeof(int32_t);
    void *smaller;
    if (self->room_n > self->n) {
        smaller = ps_resize(self->indptr, (size_t)self->n + 1, (size_t)self->n + 1, width);
        if (smaller != NULL) {
            self->indptr = smaller;
            self->room_n = self->n;
        }
    }
    if (self->room_m > self->m) {
        smaller = ps_resize(self->indices, (size_t)self->m, (size_t)(self->m ? self->m : 1), sizeof(int32_t));
        if (smaller != NULL) {
            self->indices = (int32_t *)smaller;
            self->room_m = self->m ? self->m : 1;
        }
    }
}

typedef struct {
    PyObject *objects[PS_BLOCK];
    int32_t indices[PS_BLOCK];
    Py_ssize_t count;
} ps_block;

static int ps_rows_flush(ps_rows *self, ps_names *names, ps_block *block, Py_ssize_t *failed)
{
    *failed = 0;
    if (block->count == 0)
        return 0;
    if (ps_names_resolve(names, block->objects, block->count, block->indices, failed) < 0)
        return -1;
    if (self->m + block->count > self->room_m && ps_rows_room(self, 0, block->count) < 0)
        return -1;
    memcpy(self->indices + self->m, block->indices, (size_t)block->count * sizeof(int32_t));
    self->m += block->count;
    block->count = 0;
    return 0;
}

/* Make a list of dependencies that are neither a list nor a tuple; text is refused, since iterating over it
 * gives letters. */
static PyObject *ps_row_list(PyObject *items)
{
    if (PyUnicode_Check(items) || PyBytes_Check(items)) {
        PyErr_Format(PyExc_TypeError, "dependencies are given as the text %R; put the name into a list: [%R]", items,
                     items);
        return NULL;
    }
    if (Py_TYPE(items)->tp_iter == NULL && !PySequence_Check(items)) {
        PyErr_Format(PyExc_TypeError, "dependencies are given as %R, which is not iterable; give a list of names",
                     items);
        return NULL;
    }
    return PySequence_List(items);
}

/* Append one row per item of `rows`, a list that nobody else can see or change.  (The lists in it may be changed
 * by a name's __eq__, so their sizes are read again at every step.)
 *
 * Returns 0, or -1 with a Python exception and the row at fault in *bad_row (-1: none in particular). */
static int ps_rows_load(ps_rows *self, ps_names *names, PyObject *rows, Py_ssize_t *bad_row)
{
    ps_block block;
    Py_ssize_t n = PyList_GET_SIZE(rows), row, first = 0, failed;
    int64_t base = self->n;

    block.count = 0;
    *bad_row = -1;
    if (ps_rows_room(self, n, 0) < 0)
        return -1;
    for (row = 0; row < n; row++) {
        PyObject *items = PyList_GET_ITEM(rows, row);
        Py_ssize_t j;
        if (PS_UNLIKELY(!PyList_CheckExact(items) && !PyTuple_CheckExact(items))) {
            /* Making a list may run anybody's code, which must not find borrowed names in the block. */
            if (ps_rows_flush(self, names, &block, &failed) < 0)
                goto error;
            first = row;
            failed = 0;
            items = ps_row_list(items);
            if (items == NULL || PyList_SetItem(rows, row, items) < 0) {
                *bad_row = row;
                return -1;
            }
        }
        if (row + 24 < n)
            PS_PREFETCH(PyList_GET_ITEM(rows, row + 24));
        if (row + 12 < n) {
            PyObject *soon = PyList_GET_ITEM(rows, row + 12);
            if (PyList_CheckExact(soon))
                PS_PREFETCH(((PyListObject *)soon)->ob_item);
        }
        for (j = 0; j < PySequence_Fast_GET_SIZE(items); j++) {
            if (block.count == PS_BLOCK) {
                if (ps_rows_flush(self, names, &block, &failed) < 0)
                    goto error;
                first = row;
                /* The names' code may have cut the list. */
                if (j >= PySequence_Fast_GET_SIZE(items))
                    break;
            }
            block.objects[block.count++] = PySequence_Fast_GET_ITEM(items, j);
        }
        /* Widening happens with the edges still in the block, so that a narrow row end always fits. */
        if (PS_UNLIKELY(!self->wide && self->m + block.count > ps_narrow_limit)
            && ps_rows_room(self, n - row, block.count) < 0)
            return -1;
        ps_rows_end(self, self->m + block.count);
    }
    if (ps_rows_flush(self, names, &block, &failed) == 0)
        return 0;
error:
    /* Which row holds item `failed` of the block: the first one that ends behind it. */
    for (row = first; base + row + 1 <= self->n && ps_row_start(self, base + row + 1) <= self->m + failed; row++)
        ;
    *bad_row = row;
    return -1;
}

/* For Cython, which raises what a C function left behind only if that function said so. */
static int ps_raise(void)
{
    return -1;
}

#endif
