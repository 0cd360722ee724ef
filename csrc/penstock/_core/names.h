/* Names to indices: the planner's main cost, so it is paid by pointer first.
 *
 * A graph of 10^6 tasks mentions 10^6 names as tasks and some 3 x 10^6 as dependencies.  Interning them in a
 * dict costs a hash, a string comparison and an int object each, with a cache miss at every step.  Here:
 *
 * 1. Within one bulk load, dependencies are mostly the very objects that name the tasks.  An open-addressing
 *    table of (pointer, index) answers those without touching the object at all.
 * 2. Pointers that miss are exact `str` nearly always.  A table of (hash, index), made when the first pointer
 *    misses, finds equal strings.
 * 3. Anything else (tuples, enums, subclasses of str) goes to a dict, and from then on everything does, since
 *    a foreign object may equal a string.
 *
 * Look-ups come in blocks: first every slot of the block is prefetched, then read, so that the misses overlap.
 *
 * Steps 1 and 2 run no Python code, so a caller may pass borrowed references.  Step 3 calls __hash__ and __eq__
 * of the user's objects, which may do anything: references of the block are then held by ps_names_resolve.
 */
#ifndef PENSTOCK_NAMES_H
#define PENSTOCK_NAMES_H

#include <Python.h>

#include "memory.h"

#define PS_BLOCK 256

typedef struct {
    PyObject *pointer;
    int32_t index;
} ps_pointer_slot;

typedef struct {
    uint32_t hash;
    int32_t index; /* -1: free */
} ps_hash_slot;

typedef struct {
    PyObject *list; /* the names in the order they were met; index i is list[i].  Owned by the Graph. */
    ps_pointer_slot *pointers;
    size_t pointer_mask;
    ps_hash_slot *hashes;
    size_t hash_mask;
    size_t hash_used;
    PyObject *dict; /* name -> int, only when some name is not an exact str */
    int use_pointers;
    int missed_blocks; /* blocks in a row whose pointers nearly all missed */
} ps_names;

/* ---- pointer table: lives during one bulk load ---- */

/* Objects allocated one after the other keep neighbouring slots, pages are spread: a walk along the names in
 * their order then stays within the cache, and no pattern of addresses can pile up. */
static inline size_t ps_pointer_home(const PyObject *object, size_t mask)
{
    uint64_t address = (uint64_t)(uintptr_t)object;
    uint64_t page = (address >> 12) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)((page >> 32) + ((address >> 5) & 127)) & mask;
}

static int ps_names_point(ps_names *self)
{
    Py_ssize_t n = PyList_GET_SIZE(self->list), i;
    size_t size = 16;
    while (size < (size_t)n * 2)
        size *= 2;
    self->pointers = (ps_pointer_slot *)ps_alloc_zero(size, sizeof(ps_pointer_slot));
    if (self->pointers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->pointer_mask = size - 1;
    for (i = 0; i < n; i++) {
        PyObject *name = PyList_GET_ITEM(self->list, i);
        size_t at;
        if (i + 16 < n)
            PS_PREFETCH_WRITE(&self->pointers[ps_pointer_home(PyList_GET_ITEM(self->list, i + 16), size - 1)]);
        at = ps_pointer_home(name, size - 1);
        while (self->pointers[at].pointer != NULL && self->pointers[at].pointer != name)
            at = (at + 1) & (size - 1);
        /* The same object twice in the list keeps its first index, as a dict would. */
        if (self->pointers[at].pointer == NULL) {
            self->pointers[at].pointer = name;
            self->pointers[at].index = (int32_t)i;
        }
    }
    self->use_pointers = 1;
    self->missed_blocks = 0;
    return 0;
}

static void ps_names_unpoint(ps_names *self)
{
    ps_free(self->pointers);
    self->pointers = NULL;
    self->use_pointers = 0;
}

/* ---- hash table of exact strings ---- */

static inline Py_hash_t ps_str_hash(PyObject *text)
{
    Py_hash_t hash = ((PyASCIIObject *)text)->hash;
    return PS_LIKELY(hash != -1) ? hash : PyObject_Hash(text);
}

static inline int ps_str_equal(PyObject *a, PyObject *b)
{
    Py_ssize_t length;
    if (a == b)
        return 1;
    length = PyUnicode_GET_LENGTH(a);
    if (length != PyUnicode_GET_LENGTH(b) || PyUnicode_KIND(a) != PyUnicode_KIND(b))
        return 0;
    return memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)length * PyUnicode_KIND(a)) == 0;
}

static inline size_t ps_hash_home(Py_hash_t hash, size_t mask)
{
    return (size_t)(uint64_t)hash & mask;
}

/* The upper half of the hash goes into the slot, the lower half chose it. */
static inline uint32_t ps_hash_tag(Py_hash_t hash)
{
    return (uint32_t)((uint64_t)hash >> 32) ^ (uint32_t)(uint64_t)hash;
}

static int32_t ps_hash_find(const ps_names *self, PyObject *text, Py_hash_t hash, size_t *free_slot)
{
    size_t at = ps_hash_home(hash, self->hash_mask);
    uint32_t tag = ps_hash_tag(hash);
    while (self->hashes[at].index >= 0) {
        if (self->hashes[at].hash == tag) {
            PyObject *name = PyList_GET_ITEM(self->list, self->hashes[at].index);
            if (((PyASCIIObject *)name)->hash == hash && ps_str_equal(name, text))
                return self->hashes[at].index;
        }
        at = (at + 1) & self->hash_mask;
    }
    *free_slot = at;
    return -1;
}

/* Make the table of all names met so far, which must be exact strings, with room for `more`. */
static int ps_hash_build(ps_names *self, Py_ssize_t more)
{
    Py_ssize_t n = PyList_GET_SIZE(self->list), i;
    size_t size = 16, k;
    ps_hash_slot *slots;
    while (size * 2 < (size_t)(n + more) * 3)
        size *= 2;
    slots = (ps_hash_slot *)ps_alloc(size, sizeof(ps_hash_slot));
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (k = 0; k < size; k++)
        slots[k].index = -1;
    ps_free(self->hashes);
    self->hashes = slots;
    self->hash_mask = size - 1;
    self->hash_used = 0;
    for (i = 0; i < n; i++) {
        PyObject *name = PyList_GET_ITEM(self->list, i);
        Py_hash_t hash;
        size_t at;
        if (i + 32 < n)
            PS_PREFETCH(PyList_GET_ITEM(self->list, i + 32));
        if (i + 16 < n) {
            Py_hash_t soon = ((PyASCIIObject *)PyList_GET_ITEM(self->list, i + 16))->hash;
            PS_PREFETCH_WRITE(&slots[ps_hash_home(soon, size - 1)]);
        }
        hash = ps_str_hash(name);
        if (ps_hash_find(self, name, hash, &at) >= 0)
            continue; /* a duplicate keeps its first index; the planner reports it */
        slots[at].hash = ps_hash_tag(hash);
        slots[at].index = (int32_t)i;
        self->hash_used++;
    }
    return 0;
}

/* ---- dict of anything ---- */

/* Names have __hash__ and __eq__ of their own, which may look at this graph, plan it or add tasks to it. */
static int ps_names_changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "the graph was changed by the comparison of its names");
    return -2;
}

static int ps_dict_build(ps_names *self)
{
    PyObject *list = self->list, *dict = PyDict_New();
    Py_ssize_t n = PyList_GET_SIZE(list), i;
    if (dict == NULL)
        return -1;
    for (i = 0; i < n; i++) {
        PyObject *index = PyLong_FromSsize_t(i), *kept;
        if (index == NULL)
            goto error;
        kept = PyDict_SetDefault(dict, PyList_GET_ITEM(list, i), index);
        Py_DECREF(index);
        /* Python 3.13.0 gives a value all the same when it had no memory to put it in, and the dict is broken then. */
        if (kept == NULL || PyErr_Occurred())
            goto error;
        if (self->list != list || PyList_GET_SIZE(list) != n) {
            ps_names_changed();
            goto error;
        }
    }
    if (self->dict != NULL) {
        /* The names' code let another thread in, which was faster; its dict may be in use. */
        Py_DECREF(dict);
        return 0;
    }
    ps_free(self->hashes);
    self->hashes = NULL;
    self->dict = dict;
    return 0;
error:
    Py_DECREF(dict);
    return -1;
}

/* Are all names met so far exact strings? */
static int ps_names_all_text(const ps_names *self)
{
    Py_ssize_t n = PyList_GET_SIZE(self->list), i;
    for (i = 0; i < n; i++) {
        if (i + 32 < n)
            PS_PREFETCH(PyList_GET_ITEM(self->list, i + 32));
        if (!PyUnicode_CheckExact(PyList_GET_ITEM(self->list, i)))
            return 0;
    }
    return 1;
}

/* Make whichever table the names met so far allow, unless there is one. */
static int ps_names_index(ps_names *self)
{
    if (self->dict != NULL || self->hashes != NULL)
        return 0;
    return ps_names_all_text(self) ? ps_hash_build(self, 0) : ps_dict_build(self);
}

static int32_t ps_names_append(ps_names *self, PyObject *name)
{
    Py_ssize_t n = PyList_GET_SIZE(self->list);
    if (n >= INT32_MAX - 1) {
        PyErr_SetString(PyExc_OverflowError, "a graph holds at most 2,147,483,646 names");
        return -1;
    }
    return PyList_Append(self->list, name) < 0 ? -1 : (int32_t)n;
}

/* Drop the tables; the names stay, and ps_names_index makes a table again when one is needed. */
static void ps_names_forget(ps_names *self)
{
    ps_names_unpoint(self);
    ps_free(self->hashes);
    self->hashes = NULL;
    self->hash_used = 0;
    Py_CLEAR(self->dict);
}

/* How many different names the table holds. */
static Py_ssize_t ps_names_used(const ps_names *self)
{
    return self->dict != NULL ? PyDict_GET_SIZE(self->dict) : (Py_ssize_t)self->hash_used;
}

/* ---- look-ups; a table must exist (ps_names_index) ---- */

/* Index of a name, -1 if it is not there, -2 on error. */
static int32_t ps_names_find(ps_names *self, PyObject *name)
{
    if (self->dict == NULL && PyUnicode_CheckExact(name)) {
        size_t unused;
        Py_hash_t hash = ps_str_hash(name);
        return ps_hash_find(self, name, hash, &unused);
    }
    if (self->dict == NULL && ps_dict_build(self) < 0)
        return -2;
    {
        /* Held, because the comparison may renumber the names, which drops the dict. */
        PyObject *dict = self->dict, *index;
        int32_t found;
        Py_INCREF(dict);
        index = PyDict_GetItemWithError(dict, name);
        if (index == NULL)
            found = PyErr_Occurred() ? -2 : -1;
        else
            found = (int32_t)PyLong_AsLong(index);
        Py_DECREF(dict);
        return found != -2 && self->dict != dict ? ps_names_changed() : found;
    }
}

/* Index of a name, which is added if it is new; -2 on error. */
static int32_t ps_names_add(ps_names *self, PyObject *name)
{
    int32_t index;
    if (self->dict == NULL && PyUnicode_CheckExact(name)) {
        size_t at;
        Py_hash_t hash = ps_str_hash(name);
        if ((self->hash_used + 1) * 3 > (self->hash_mask + 1) * 2
            && ps_hash_build(self, PyList_GET_SIZE(self->list)) < 0)
            return -2;
        index = ps_hash_find(self, name, hash, &at);
        if (index >= 0)
            return index;
        index = ps_names_append(self, name);
        if (index < 0)
            return -2;
        self->hashes[at].hash = ps_hash_tag(hash);
        self->hashes[at].index = index;
        self->hash_used++;
        return index;
    }
    index = ps_names_find(self, name);
    if (index != -1)
        return index;
    /* Into the dict first: it calls the user's __eq__, which may fail or, worse, add names to this graph. */
    {
        PyObject *dict = self->dict, *number;
        Py_ssize_t n = PyList_GET_SIZE(self->list);
        int failed;
        number = PyLong_FromSsize_t(n);
        Py_INCREF(dict);
        failed = number == NULL || PyDict_SetItem(dict, name, number) < 0;
        Py_XDECREF(number);
        Py_DECREF(dict);
        if (failed)
            return -2;
        if (self->dict != dict || PyList_GET_SIZE(self->list) != n) {
            Py_CLEAR(self->dict); /* it has a number that belongs to another name; the next use makes a new one */
            return ps_names_changed();
        }
        index = ps_names_append(self, name);
        if (index < 0) {
            Py_CLEAR(self->dict);
            return -2;
        }
    }
    return index;
}

/* Strings that no pointer knew: hash, slot, name and comparison each in a loop of their own, so that a block's
 * cache misses overlap. */
static int ps_names_resolve_text(ps_names *self, PyObject **objects, Py_ssize_t count, int32_t *out)
{
    Py_hash_t hashes[PS_BLOCK];
    Py_ssize_t k;
    for (k = 0; k < count; k++) {
        if (out[k] >= 0)
            continue;
        hashes[k] = ps_str_hash(objects[k]);
        PS_PREFETCH(&self->hashes[ps_hash_home(hashes[k], self->hash_mask)]);
    }
    for (k = 0; k < count; k++) {
        const ps_hash_slot *slot;
        if (out[k] >= 0)
            continue;
        slot = &self->hashes[ps_hash_home(hashes[k], self->hash_mask)];
        if (slot->index >= 0)
            PS_PREFETCH(&PyList_GET_ITEM(self->list, slot->index));
    }
    for (k = 0; k < count; k++) {
        const ps_hash_slot *slot;
        if (out[k] >= 0)
            continue;
        slot = &self->hashes[ps_hash_home(hashes[k], self->hash_mask)];
        if (slot->index >= 0)
            PS_PREFETCH(PyList_GET_ITEM(self->list, slot->index));
    }
    for (k = 0; k < count; k++) {
        if (out[k] >= 0)
            continue;
        out[k] = ps_names_add(self, objects[k]);
        if (out[k] < 0)
            return -1;
    }
    return 0;
}

/* Indices of `count` (at most PS_BLOCK) objects, new ones added.  Returns 0, or -1 with *failed = which one. */
static int ps_names_resolve(ps_names *self, PyObject **objects, Py_ssize_t count, int32_t *out, Py_ssize_t *failed)
{
    Py_ssize_t k, missed = count, text = 1;
    int result = -1;

    if (self->use_pointers) {
        missed = 0;
        for (k = 0; k < count; k++)
            PS_PREFETCH(&self->pointers[ps_pointer_home(objects[k], self->pointer_mask)]);
        for (k = 0; k < count; k++) {
            size_t at = ps_pointer_home(objects[k], self->pointer_mask);
            while (self->pointers[at].pointer != objects[k] && self->pointers[at].pointer != NULL)
                at = (at + 1) & self->pointer_mask;
            if (PS_LIKELY(self->pointers[at].pointer != NULL)) {
                out[k] = self->pointers[at].index;
            } else {
                out[k] = -1;
                PS_PREFETCH(objects[k]);
                missed++;
            }
        }
        if (missed == 0) {
            self->missed_blocks = 0;
            return 0;
        }
        /* Dependencies given as separate objects: asking for their pointers is wasted work. */
        if (missed * 8 > count * 7 && ++self->missed_blocks >= 8)
            ps_names_unpoint(self);
    } else {
        for (k = 0; k < count; k++) {
            out[k] = -1;
            PS_PREFETCH(objects[k]);
        }
    }
    for (k = 0; k < count; k++) {
        if (out[k] < 0 && !PyUnicode_CheckExact(objects[k])) {
            text = 0;
            break;
        }
    }
    if (text && self->dict == NULL && (self->hashes != NULL || ps_names_all_text(self))) {
        *failed = 0;
        if (self->hashes == NULL && ps_hash_build(self, 0) < 0)
            return -1;
        return ps_names_resolve_text(self, objects, count, out);
    }
    for (k = 0; k < count; k++)
        Py_INCREF(objects[k]);
    *failed = 0;
    if (self->dict != NULL || ps_dict_build(self) == 0) {
        for (k = 0; k < count; k++) {
            if (out[k] < 0) {
                out[k] = ps_names_add(self, objects[k]);
                if (out[k] < 0) {
                    *failed = k;
                    break;
                }
            }
        }
        if (k == count)
            result = 0;
    }
    for (k = 0; k < count; k++)
        Py_DECREF(objects[k]);
    return result;
}

#endif
