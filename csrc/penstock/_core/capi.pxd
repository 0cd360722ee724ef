"""The CPython functions that Cython's own headers do not declare."""

from cpython.object cimport PyObject


cdef extern from "Python.h":
    # The outcome of PyIter_Send; `result` is a new reference unless it is an error.
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject *iterator, PyObject *argument, PyObject **result)

    bint PyCoro_CheckExact(PyObject *candidate)
    bint PyGen_Check(PyObject *candidate)

    PyObject *PyContext_CopyCurrent()
    PyObject *PyContext_Copy(PyObject *context)
    int PyContext_Enter(PyObject *context) except -1
    int PyContext_Exit(PyObject *context) except -1
    bint PyContext_CheckExact(PyObject *candidate)

    PyObject *PyObject_CallNoArgs(PyObject *callable)
    PyObject *PyObject_CallOneArg(PyObject *callable, PyObject *argument)
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject **arguments, size_t count, PyObject *names)

    PyObject *PyErr_Occurred()
    void PyErr_Clear()
    PyObject *PyErr_NoMemory()
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_NormalizeException(PyObject **kind, PyObject **value, PyObject **traceback)
    int PyException_SetTraceback(PyObject *error, PyObject *traceback)
    Py_ssize_t Py_REFCNT(PyObject *object)
    void Py_INCREF(PyObject *object)
    void Py_DECREF(PyObject *object)
    void Py_XDECREF(PyObject *object)
    PyObject *Py_None
