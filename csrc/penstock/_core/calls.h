/* Questions about functions and values that the dispatcher asks once per task. */
#ifndef PENSTOCK_CALLS_H
#define PENSTOCK_CALLS_H

#include <Python.h>

/* Calling an `async def` function runs none of its body, so nothing in it can ask for the current task yet. */
static inline int ps_is_coroutine_function(PyObject *callable)
{
    return PyFunction_Check(callable)
           && (((PyCodeObject *)PyFunction_GET_CODE(callable))->co_flags & CO_COROUTINE) != 0;
}

/* May the value be awaited?  Exactly what `await` asks for, without the detour through collections.abc. */
static inline int ps_is_awaitable(PyObject *value)
{
    PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
    if (methods != NULL && methods->am_await != NULL)
        return 1;
    /* A generator made into a coroutine by types.coroutine. */
    if (!PyGen_CheckExact(value))
        return 0;
#if PY_VERSION_HEX < 0x030C0000
    return (((PyGenObject *)value)->gi_code->co_flags & CO_ITERABLE_COROUTINE) != 0;
#else
    {
        PyCodeObject *code = PyGen_GetCode((PyGenObject *)value);
        int marked = (code->co_flags & CO_ITERABLE_COROUTINE) != 0;
        Py_DECREF(code);
        return marked;
    }
#endif
}

/* Was an attribute set on an object whose type has a dict? */
static inline int ps_has_attributes(PyObject *object)
{
    PyObject **dict = (PyObject **)((char *)object + Py_TYPE(object)->tp_dictoffset);
    return *dict != NULL && PyDict_GET_SIZE(*dict) > 0;
}

/* Take away the empty dict that Cython gives every new instance; CPython makes one when it is needed. */
static inline void ps_drop_attributes(PyObject *object)
{
    PyObject **dict = (PyObject **)((char *)object + Py_TYPE(object)->tp_dictoffset);
    Py_CLEAR(*dict);
}

/* Does anybody hold a weak reference to an object whose type allows them? */
static inline int ps_is_weakly_referenced(PyObject *object)
{
    PyObject **list = (PyObject **)((char *)object + Py_TYPE(object)->tp_weaklistoffset);
    return *list != NULL;
}

static inline const void *ps_list_place(PyObject *list, Py_ssize_t at)
{
    return &PyList_GET_ITEM(list, at);
}

/* Put a value (the reference is taken over) into a list whose item there is never NULL. */
static inline void ps_list_put(PyObject *list, Py_ssize_t at, PyObject *value)
{
    PyObject *before = PyList_GET_ITEM(list, at);
    PyList_SET_ITEM(list, at, value);
    Py_DECREF(before);
}

#endif
