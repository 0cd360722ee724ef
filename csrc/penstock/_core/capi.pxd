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

    PyObject *PyObject_CallMethodOneArg(PyObject *owner, PyObject *name, PyObject *argument)
    PyObject *PyObject_CallMethodNoArgs(PyObject *owner, PyObject *name)
    PyObject *PyLong_FromLong(long number)

    int Py_EnterRecursiveCall(const char *where) except -1
    void Py_LeaveRecursiveCall()
    void PyErr_Clear()
    PyObject *PyErr_NoMemory()
    # By the type alone: isinstance would ask the exception for its __class__, which may be anything.
    bint PyErr_GivenExceptionMatches(object error, object kinds)
    Py_ssize_t Py_REFCNT(PyObject *object)
    void Py_INCREF(PyObject *object)
    void Py_DECREF(PyObject *object)
    void Py_XDECREF(PyObject *object)
    PyObject *Py_None
