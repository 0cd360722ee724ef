"""Task: drive a coroutine, as asyncio.Task does, at less cost.

Two things must be right whenever a body runs, or other people's code breaks quietly.

*Identity.*  While a coroutine is stepped, ``asyncio.current_task()`` must be its own task.  ``asyncio.timeout``,
``TaskGroup``, anyio's cancel scopes and aiohttp's time-outs all remember the current task when they are entered
and cancel that one later.  Were the body stepped under the identity of whoever drives it, a time-out inside it
would cancel the driver.  So every step swaps the loop's current task and swaps it back on every way out.

*Context.*  A body runs in a copy of the context of the run it belongs to.  The event loop calls a callback inside
the context that was given for it, and a context cannot be entered twice: so whoever hands a step to the loop gives
the task's context along, and the step itself enters nothing.  Only a step that begins outside of any callback of
its own (an eager start) enters the context by hand.

Third, a trap that has no remedy but design: a coroutine that has already yielded a future cannot be given to a
fresh asyncio.Task, which would find the future's "somebody waits for me" flag taken.  A coroutine that we began is
ours until it ends.
"""

import asyncio
import inspect
import sys
from asyncio import base_tasks, coroutines, events
from asyncio import tasks as asyncio_tasks

from cpython.object cimport PyObject
from cpython.weakref cimport PyWeakref_NewRef

from penstock._core.capi cimport (
    PYGEN_ERROR,
    PYGEN_NEXT,
    PYGEN_RETURN,
    PyErr_GivenExceptionMatches,
    PyIter_Send,
    PyObject_CallMethodNoArgs,
    PyObject_CallMethodOneArg,
    Py_EnterRecursiveCall,
    Py_LeaveRecursiveCall,
    PySendResult,
    Py_DECREF,
    Py_None,
)
from penstock._core.future cimport FUTURE_PENDING, Future

from contextvars import copy_context
from weakref import WeakSet


cdef extern from "clock.h":
    double ps_monotonic() noexcept


cdef extern from "raised.h":
    PyObject *ps_take_raised()


cdef object CancelledError = asyncio.CancelledError
cdef object InvalidStateError = asyncio.InvalidStateError
cdef object THROW = "throw"
cdef object RESULT = "result"
cdef object task_repr = base_tasks._task_repr
cdef object name_counter = asyncio_tasks._task_name_counter
cdef bint uncancel_clears = sys.version_info >= (3, 13)
# From 3.12 on a task that runs its first step eagerly is shown by all_tasks().
cdef object register_eager = getattr(asyncio_tasks, "_register_eager_task", None)
cdef object unregister_eager = getattr(asyncio_tasks, "_unregister_eager_task", None)


# -- identity: the one place that knows how this version of Python keeps the current task -----------------------

cdef dict current_tasks = getattr(asyncio_tasks, "_current_tasks", None)
cdef object swap_function = getattr(asyncio_tasks, "_swap_current_task", None)


cdef object swap_current(object loop, object task):
    """Make `task` (None for none) the loop's current task and return the one before.

    Up to 3.13 the current tasks are a dict by loop, shared by the C and the Python half of asyncio; from 3.14 on
    they belong to the thread, and there is a function.
    """
    if current_tasks is None:
        return swap_function(loop, task)
    before = current_tasks.get(loop)
    if task is not None:
        current_tasks[loop] = task
    elif before is not None:
        del current_tasks[loop]
    return before


cdef int set_current(object loop, object task) except -1:
    """Make a task the loop's current one where another of ours is."""
    if current_tasks is None:
        swap_function(loop, task)
    else:
        current_tasks[loop] = task
    return 0


# -- registering: the one place that knows where the tasks are that all_tasks() shows --------------------------

cdef object all_tasks = getattr(asyncio_tasks, "_scheduled_tasks", None) or getattr(asyncio_tasks, "_all_tasks", None)
#: The set of weak references inside of the WeakSet; None where it looks different, and is used as asyncio does.
cdef set shown_tasks = all_tasks.data if type(all_tasks) is WeakSet and type(all_tasks.data) is set else None


cdef class Owner:
    """Hears of the end of every task that it started; the core's dispatchers are owners."""

    cdef int task_ended(self, Task task) except -1:
        raise NotImplementedError

    cdef int step_was_slow(self, Task task, double seconds) except -1:
        return 0


cdef class Task(Future):
    """A coroutine driven by the event loop; interchangeable with ``asyncio.Task``.

    Constructed directly it behaves like ``asyncio.Task`` in every respect that CPython's own tests look at; the
    scheduler starts its tasks eagerly.  Belongs to its event loop's thread.

    Parameters
    ----------
    coro
        The coroutine.
    loop
        The event loop; by default the current one.
    name
        The task's name; by default ``Task-`` and a number.
    context
        The `contextvars.Context` to run in; by default a copy of the current one.
    eager_start
        Run the first step at once, if the loop is running.
    """

    def __init__(self, coro, *, loop=None, name=None, context=None, eager_start=False):
        self._log_destroy_pending = False
        if not coroutines.iscoroutine(coro):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        self.init_future(events.get_event_loop() if loop is None else loop)
        self._log_destroy_pending = True
        self.task_name = f"Task-{name_counter()}" if name is None else str(name)
        self.context = copy_context() if context is None else context
        self.coro = coro
        if eager_start and self._loop.is_running():
            self.context.run(self._begin)
        else:
            self._loop.call_soon(self._step, context=self.context)
            self.register()

    def __del__(self):
        if self._loop is None:
            return  # it could not even be allocated whole, and has not its own methods yet
        self.unregister()
        if self.status == FUTURE_PENDING and self._log_destroy_pending:
            context = {"task": self, "message": "Task was destroyed but it is pending!"}
            if self._source_traceback:
                context["source_traceback"] = self._source_traceback
            self._loop.call_exception_handler(context)
        self.complain()

    def __repr__(self):
        return task_repr(self)

    cdef int register(self) except -1:
        """Make ``asyncio.all_tasks`` show it; the loop itself holds tasks only weakly."""
        if shown_tasks is None:
            asyncio_tasks._register_task(self)
            return 0
        # What WeakSet.add would do, without a callback for the end of the object: the task takes itself out.  The two
        # Python functions cost more than all else that suspending takes.
        self.shown_as = PyWeakref_NewRef(self, None)
        shown_tasks.add(self.shown_as)
        return 0

    cdef int unregister(self) except -1:
        if self.shown_as is not None:
            shown_tasks.discard(self.shown_as)
            self.shown_as = None
        return 0

    # -- reading ------------------------------------------------------------------------------------------

    @property
    def _coro(self):
        return self.coro

    @property
    def _context(self):
        return self.context

    @property
    def _fut_waiter(self):
        return self.waiter

    @property
    def _num_cancels_requested(self):
        return self.n_cancels

    def get_coro(self):
        """Return the coroutine."""
        return self.coro

    def get_context(self):
        """Return the context that the coroutine runs in."""
        return self.context

    def get_name(self):
        """Return the name."""
        if self.task_name is None:
            self.task_name = f"Task-{name_counter()}"
        return self.task_name

    def set_name(self, value):
        """Set the name."""
        self.task_name = str(value)

    def get_stack(self, *, limit=None):
        """Return the stack of the coroutine as a list of frames, as ``asyncio.Task.get_stack`` does."""
        return base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit=None, file=None):
        """Print the stack of the coroutine, as ``asyncio.Task.print_stack`` does."""
        return base_tasks._task_print_stack(self, limit, file)

    def set_result(self, result):
        """Refuse: the result of a task is what its coroutine returns."""
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, exception):
        """Refuse: the exception of a task is what its coroutine raises."""
        raise RuntimeError("Task does not support set_exception operation")

    # -- cancellation -------------------------------------------------------------------------------------

    def cancel(self, msg=None):
        """Throw CancelledError into the coroutine at the next chance; return False if the task is done."""
        cdef Task task = self, inner
        self.log_traceback = False
        if self.status != FUTURE_PENDING:
            return False
        # Down a chain of tasks that wait for one another, however long: not by recursion.
        while True:
            task.n_cancels += 1
            if type(task.waiter) is not Task:
                break
            inner = task.waiter
            inner.log_traceback = False
            if inner.status != FUTURE_PENDING:
                break
            task = inner
        # A future that is done already, or refuses, cannot carry the cancellation: the next step will.
        if task.waiter is not None:
            Py_EnterRecursiveCall(" while cancelling what a task waits for")
            try:
                if task.waiter.cancel(msg=msg):
                    return True
            except BaseException:
                task.wake_anyway()
                raise
            finally:
                Py_LeaveRecursiveCall()
        task._must_cancel = True
        task._cancel_message = msg
        return True

    def __reduce__(self):
        raise TypeError("a Task belongs to its event loop and can be neither pickled nor copied")

    def cancelling(self):
        """Return how many cancellations were requested and not taken back."""
        return self.n_cancels

    def uncancel(self):
        """Take back one request to cancel; return how many are left."""
        if self.n_cancels > 0:
            self.n_cancels -= 1
            # Since 3.13 taking back the last one also takes back a cancellation not delivered yet.
            if uncancel_clears and self.n_cancels == 0:
                self._must_cancel = False
        return self.n_cancels

    # -- stepping -----------------------------------------------------------------------------------------

    def _begin(self):
        """The eager first step: another task may be current, and is again afterwards."""
        before = swap_current(self._loop, None)
        try:
            if register_eager is not None:
                register_eager(self)
            self.step(None)
        finally:
            swap_current(self._loop, before)
            if unregister_eager is not None:
                unregister_eager(self)
        if self.status == FUTURE_PENDING:
            self.register()

    def _step(self, exc=None):
        """One step, called by the event loop inside the task's context."""
        self.step(exc)

    def _wakeup(self, future):
        """The future waited for is done; called by the event loop inside the task's context."""
        # Without a `try`: what other bodies raise from here on would get this exception as its context.
        cdef PyObject *outcome = PyObject_CallMethodNoArgs(<PyObject *> future, <PyObject *> RESULT)
        if outcome != NULL:
            Py_DECREF(outcome)
            self.step(None)
            return
        outcome = ps_take_raised()
        error = <object> outcome
        Py_DECREF(outcome)
        self.step(error)

    cdef int step(self, object error) except -1:
        """Resume the coroutine, with an exception or without one, and deal with what comes out."""
        # Held here: with a run that nobody awaits, its last suspended task is the last to refer to it.
        cdef Owner owner = self.owner
        cdef double begun = 0.0
        if owner is not None:
            begun = ps_monotonic()
        try:
            self.step_once(error)
        except BaseException as broken:
            # Not the body's own doing: no memory, a loop that is closed.
            if self.owner is None or self.waiter is not None:
                raise
            if self.status == FUTURE_PENDING:
                # Nothing will resume it any more, and its owner would wait for ever.
                self.finish_with_error(broken)
        # Last of all, and no longer under the task's identity: the owner may start other bodies from here.
        if owner is not None:
            begun = ps_monotonic() - begun
            if begun > owner.slow:
                owner.step_was_slow(self, begun)
            if self.status != FUTURE_PENDING:
                self.unregister()
                owner.task_ended(self)
        elif self.status != FUTURE_PENDING:
            self.unregister()
        return 0

    cdef int step_once(self, object error) except -1:
        if self.status != FUTURE_PENDING:
            raise InvalidStateError(f"_step(): already done: {self!r}, {error!r}")
        self.waiter = None
        if self._must_cancel:
            if error is None or not PyErr_GivenExceptionMatches(error, CancelledError):
                error = self.make_cancelled_error()
            self._must_cancel = False
        before = swap_current(self._loop, self)
        if before is not None:
            swap_current(self._loop, before)
            raise RuntimeError(
                f"Cannot enter into task {self!r} while another task {before!r} is being executed."
            )
        try:
            self.resume(error)
        finally:
            swap_current(self._loop, None)
        return 0

    cdef int resume(self, object error) except -1:
        cdef PyObject *sent = NULL
        cdef PySendResult outcome
        if error is None:
            outcome = PyIter_Send(<PyObject *> self.coro, Py_None, &sent)
        else:
            sent = PyObject_CallMethodOneArg(<PyObject *> self.coro, <PyObject *> THROW, <PyObject *> error)
            outcome = PYGEN_ERROR if sent == NULL else PYGEN_NEXT
        if outcome == PYGEN_ERROR:
            sent = ps_take_raised()
        value = <object> sent
        Py_DECREF(sent)
        if outcome == PYGEN_RETURN:
            self.take_value(value)
        elif outcome == PYGEN_NEXT:
            self.take_yield(value)
        elif error is not None and PyErr_GivenExceptionMatches(value, StopIteration):
            # What `throw` makes of a return; a StopIteration that a body raises comes as a RuntimeError.
            self.take_value(value.value)
        else:
            self.take_error(value)
        return 0

    cdef int take_value(self, object value) except -1:
        """The coroutine returned."""
        if self._must_cancel:
            # Cancelled in its last step, with no await left to raise at.
            self._must_cancel = False
            self.cancel_future(self._cancel_message)
        else:
            self.finish_with_value(value)
        return 0

    cdef int take_error(self, object error) except -1:
        """The coroutine raised."""
        if PyErr_GivenExceptionMatches(error, CancelledError):
            self.cancelled_error = error
            self.cancel_future(None)
            return 0
        self.finish_with_error(error)
        if self.owner is None and PyErr_GivenExceptionMatches(error, (KeyboardInterrupt, SystemExit)):
            # An owner stops everything else first and raises it where the run is awaited.
            raise error
        return 0

    cdef int take_yield(self, object awaited) except -1:
        """The coroutine suspended: arrange for the step that resumes it."""
        try:
            return self.wait_for(awaited)
        except BaseException as error:
            if self.waiter is not None:
                raise
            # A hostile awaitable that nobody can wait for: its exception is raised where it was awaited.
            self._loop.call_soon(self._step, error, context=self.context)
        return 0

    cdef int wait_for(self, object awaited) except -1:
        if awaited is None:
            # A bare yield, as in sleep(0): one turn of the loop.
            self._loop.call_soon(self._step, context=self.context)
            return 0
        blocking = getattr(awaited, "_asyncio_future_blocking", None)
        if blocking is None:
            if inspect.isgenerator(awaited):
                return self.reject(
                    f"yield was used instead of yield from for generator in task {self!r} with {awaited!r}"
                )
            return self.reject(f"Task got bad yield: {awaited!r}")
        if loop_of(awaited) is not self._loop:
            return self.reject(f"Task {self!r} got Future {awaited!r} attached to a different loop")
        if not blocking:
            return self.reject(f"yield was used instead of yield from in task {self!r} with {awaited!r}")
        if awaited is self:
            return self.reject(f"Task cannot await on itself: {self!r}")
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(self._wakeup, context=self.context)
        self.waiter = awaited
        if self._must_cancel and awaited.cancel(msg=self._cancel_message):
            self._must_cancel = False
        return 0

    cdef int wake_anyway(self) except -1:
        """Cancelling the future failed, but it may have ended, only without the memory to call back."""
        try:
            if self.waiter.done():
                self._loop.call_soon(self._wake_if_waiting, self.waiter, context=self.context)
        except Exception:
            pass  # it is the first failure that counts
        return 0

    def _wake_if_waiting(self, future):
        """Wake up, unless the future did call back."""
        if self.waiter is future:
            self._wakeup(future)

    cdef int request_cancel(self) except -1:
        """Cancel; if what it waits for cannot even be asked, the next step will."""
        try:
            self.cancel()
        except Exception:
            self._must_cancel = True
        return 0

    cdef int reject(self, str message) except -1:
        """The coroutine yielded what nobody can wait for: raise in it at the next turn."""
        self._loop.call_soon(self._step, RuntimeError(message), context=self.context)
        return 0


cdef object loop_of(object future):
    get_loop = getattr(future, "get_loop", None)
    return future._loop if get_loop is None else get_loop()
