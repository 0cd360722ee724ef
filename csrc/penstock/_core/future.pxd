"""Future: asyncio's future protocol, compiled."""

cdef enum:
    FUTURE_PENDING = 0
    FUTURE_CANCELLED = 1
    FUTURE_FINISHED = 2


cdef class Future:
    cdef public object _loop
    cdef int status
    cdef object value                # the result
    cdef object error                # the exception of a finished future
    cdef object error_traceback      # as it was when the exception was set
    cdef object cancelled_error      # the CancelledError that ended it, raised once more to keep its traceback
    cdef public object _cancel_message
    cdef public object _source_traceback
    cdef public bint _asyncio_future_blocking
    cdef bint log_traceback
    # The first callback and its context; most futures never have a second one.
    cdef object callback
    cdef object callback_context
    cdef list callbacks              # the others, as (callback, context)
    cdef dict __dict__
    cdef object __weakref__

    cdef int init_future(self, object loop) except -1
    cdef int finish_with_value(self, object value) except -1
    cdef int finish_with_error(self, object error) except -1
    cdef bint cancel_future(self, object message) except -1
    cdef int schedule_callbacks(self) except -1
    cdef object make_cancelled_error(self)
    cdef int complain(self) except -1
