"""Future: what a task of ours has in common with every other awaitable of asyncio.

Duck-typed: ``asyncio.isfuture`` asks for the attribute ``_asyncio_future_blocking``, and everything else in
asyncio works on whatever passes.  Subclassing asyncio.Future would cost more in allocation alone than the whole
dispatch of a task that does not suspend.
"""

import asyncio
import contextvars
import sys
from asyncio import base_futures, events, format_helpers
from types import GenericAlias

from penstock._core.capi cimport PyErr_GivenExceptionMatches

cdef object CancelledError = asyncio.CancelledError
cdef object InvalidStateError = asyncio.InvalidStateError
cdef object copy_context = contextvars.copy_context
cdef object future_repr = base_futures._future_repr
cdef object extract_stack = format_helpers.extract_stack

_STATES = ("PENDING", "CANCELLED", "FINISHED")


cdef class Future:
    """The part of the asyncio future protocol that tasks share.

    Not thread-safe: belongs to its event loop's thread, as every future of asyncio does.
    """

    __class_getitem__ = classmethod(GenericAlias)

    cdef int init_future(self, object loop) except -1:
        self._loop = loop
        self.status = FUTURE_PENDING
        if loop.get_debug():
            self._source_traceback = extract_stack(sys._getframe(0))
        return 0

    def __init__(self, *, loop=None):
        self.init_future(events.get_event_loop() if loop is None else loop)

    def __repr__(self):
        return future_repr(self)

    def __del__(self):
        self.complain()

    cdef int complain(self) except -1:
        """Log an exception that nobody has looked at."""
        if not self.log_traceback or self.error is None:
            return 0
        context = {
            "message": f"{type(self).__name__} exception was never retrieved",
            "exception": self.error,
            "future": self,
        }
        if self._source_traceback:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)
        return 0

    # -- reading ------------------------------------------------------------------------------------------

    def get_loop(self):
        """Return the event loop that the future belongs to."""
        return self._loop

    @property
    def _state(self):
        return _STATES[self.status]

    @property
    def _result(self):
        return self.value

    @property
    def _exception(self):
        return self.error

    @property
    def _callbacks(self):
        # asyncio's own future shows a list of pairs, or None.
        if self.callback is None:
            return None
        return [(self.callback, self.callback_context), *(self.callbacks or ())]

    @property
    def _log_traceback(self):
        return self.log_traceback

    @_log_traceback.setter
    def _log_traceback(self, value):
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self.log_traceback = False

    def done(self):
        """Return True if there is a result, an exception, or it was cancelled."""
        return self.status != FUTURE_PENDING

    def cancelled(self):
        """Return True if it was cancelled."""
        return self.status == FUTURE_CANCELLED

    def result(self):
        """Return the result, or raise what ended the future."""
        if self.status == FUTURE_FINISHED:
            self.log_traceback = False
            if self.error is not None:
                raise self.error.with_traceback(self.error_traceback)
            return self.value
        if self.status == FUTURE_CANCELLED:
            raise self.make_cancelled_error()
        raise InvalidStateError("Result is not ready.")

    def exception(self):
        """Return the exception, None if there is a result; raise CancelledError if it was cancelled."""
        if self.status == FUTURE_FINISHED:
            self.log_traceback = False
            return self.error
        if self.status == FUTURE_CANCELLED:
            raise self.make_cancelled_error()
        raise InvalidStateError("Exception is not set.")

    cdef object make_cancelled_error(self):
        """The CancelledError to raise.  The stored one is handed out once: it holds its frames alive."""
        error = self.cancelled_error
        if error is not None:
            self.cancelled_error = None
            return error
        if self._cancel_message is None:
            return CancelledError()
        return CancelledError(self._cancel_message)

    def _make_cancelled_error(self):
        return self.make_cancelled_error()

    # -- callbacks ----------------------------------------------------------------------------------------

    def add_done_callback(self, fn, *, context=None):
        """Have ``fn(self)`` called by the loop once the future is done."""
        if context is None:
            context = copy_context()
        if self.status != FUTURE_PENDING:
            self._loop.call_soon(fn, self, context=context)
        elif self.callback is None:
            self.callback = fn
            self.callback_context = context
        else:
            if self.callbacks is None:
                self.callbacks = []
            self.callbacks.append((fn, context))

    def remove_done_callback(self, fn):
        """Remove every callback equal to `fn`; return how many there were."""
        # Comparing runs the callbacks' __eq__, which may add or remove others: compare first, then change.
        cdef list before = self._callbacks or []
        cdef list kept = [pair for pair in before if pair[0] != fn]
        removed = len(before) - len(kept)
        if removed:
            self.callback = self.callback_context = None
            self.callbacks = None
            if kept:
                self.callback, self.callback_context = kept[0]
                if len(kept) > 1:
                    self.callbacks = kept[1:]
        return removed

    cdef int schedule_callbacks(self) except -1:
        """Hand every callback to the loop; never call one here, it may do anything."""
        cdef list others
        if self.callback is None:
            return 0
        callback, context, others = self.callback, self.callback_context, self.callbacks
        self.callback = self.callback_context = None
        self.callbacks = None
        self._loop.call_soon(callback, self, context=context)
        if others is not None:
            for callback, context in others:
                self._loop.call_soon(callback, self, context=context)
        return 0

    # -- ending -------------------------------------------------------------------------------------------

    cdef int finish_with_value(self, object value) except -1:
        if self.status != FUTURE_PENDING:
            raise InvalidStateError(f"{self._state}: {self!r}")
        self.value = value
        self.status = FUTURE_FINISHED
        return self.schedule_callbacks()

    cdef int finish_with_error(self, object error) except -1:
        if self.status != FUTURE_PENDING:
            raise InvalidStateError(f"{self._state}: {self!r}")
        if isinstance(error, type):
            error = error()
        if PyErr_GivenExceptionMatches(error, StopIteration):
            # Raising it into a coroutine would end that one instead.
            wrapped = RuntimeError("StopIteration interacts badly with generators and cannot be raised into a Future")
            wrapped.__cause__ = error
            wrapped.__context__ = error
            error = wrapped
        self.error = error
        self.error_traceback = error.__traceback__
        self.status = FUTURE_FINISHED
        self.schedule_callbacks()
        self.log_traceback = True
        return 0

    cdef bint cancel_future(self, object message) except -1:
        self.log_traceback = False
        if self.status != FUTURE_PENDING:
            return False
        self.status = FUTURE_CANCELLED
        self._cancel_message = message
        self.schedule_callbacks()
        return True

    def cancel(self, msg=None):
        """Cancel the future and schedule its callbacks; return False if it is done already."""
        return self.cancel_future(msg)

    def set_result(self, result):
        """End the future with a result."""
        self.finish_with_value(result)

    def set_exception(self, exception):
        """End the future with an exception."""
        self.finish_with_error(exception)

    # -- awaiting -----------------------------------------------------------------------------------------

    def __await__(self):
        if self.status == FUTURE_PENDING:
            self._asyncio_future_blocking = True
            yield self
            if self.status == FUTURE_PENDING:
                raise RuntimeError("await wasn't used with future")
        return self.result()

    def __iter__(self):
        return self.__await__()
