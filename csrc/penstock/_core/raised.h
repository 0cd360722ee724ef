/* The exception that a C function left behind, taken as an object. */
#ifndef PENSTOCK_RAISED_H
#define PENSTOCK_RAISED_H

#include <Python.h>

/* Take the exception over: a new reference, never NULL, with its traceback just as it is.  A `try` of Cython's would
   add a line of its own to the traceback, and allocate for it, which is the last thing to do when memory is short. */
static inline PyObject *ps_take_raised(void)
{
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "a function failed without an exception");
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *error, *traceback;
    PyErr_Fetch(&kind, &error, &traceback);
    PyErr_NormalizeException(&kind, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    Py_DECREF(kind);
    Py_XDECREF(traceback);
    return error;
#endif
}

#endif
