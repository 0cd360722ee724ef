"""Dispatch: the loop that runs a plan.

Everybody else pays one asyncio.Task per task: allocation, a callback through the loop, a name, a weak set.  Here
the loop below pops a ready position, calls its function and, if that gives a coroutine, steps it on the spot under
a `Task` of ours.  A coroutine that returns without suspending is over within that one call; only one that really
waits becomes a task of the event loop's.

What each step of the loop costs decides its shape:

* *Identity.*  Writing the loop's current task costs as much as stepping a small coroutine, so one `Task` object
  serves body after body, and is written once, as long as nobody kept a reference to it.  Somebody did if its
  reference count says so, or if it was given a callback, a name, a weak reference, an attribute or a cancellation:
  then that object belongs to its body for good, and the next body gets a new one.
* *Context.*  Copying and entering a context is cheap and is done plainly for each body.
* *Clock.*  The end of one task is the start of the next: one reading per task.
* *Collector.*  A body is created when it runs, never before, and nothing that the collector tracks is left behind
  unless a body suspends.
* *Fairness.*  After a time slice the event loop gets its turn, however much is ready.
* *Policies.*  Retries, time-outs, threads and limits act where a body failed, suspended or is marked as special; a
  body that returns at once passes by them.

User code runs inside ``call_body`` and ``PyIter_Send``, and may do anything, including cancelling this very run or
starting another one.  So the state is changed before calling out and read again afterwards.
"""

import asyncio
import contextvars

from cpython.exc cimport PyErr_SetString
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next
from cpython.object cimport PyCallable_Check, PyObject
from cpython.list cimport PyList_GET_ITEM
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int32_t, int64_t, uint8_t

from penstock._core.capi cimport (
    PYGEN_ERROR,
    PYGEN_NEXT,
    PYGEN_RETURN,
    PyContext_Copy,
    PyContext_Enter,
    PyContext_Exit,
    PyCoro_CheckExact,
    PyErr_Clear,
    PyErr_GivenExceptionMatches,
    PyErr_NoMemory,
    PyIter_Send,
    PyLong_FromLong,
    PyObject_CallMethodNoArgs,
    PyObject_CallMethodOneArg,
    PyObject_CallNoArgs,
    PyObject_CallOneArg,
    PyObject_Vectorcall,
    PySendResult,
    Py_DECREF,
    Py_INCREF,
    Py_None,
    Py_REFCNT,
    Py_XDECREF,
)
from penstock._core.future cimport FUTURE_CANCELLED, FUTURE_PENDING
from penstock._core.graph cimport Graph, ps_row_start
from penstock._core.memory cimport PS_PREFETCH, ps_alloc, ps_alloc_zero, ps_free
from penstock._core.plan cimport Plan
from penstock._core.ready cimport ReadyQueue
from penstock._core.run cimport RunState
from penstock._core.step cimport Owner, Task, set_current, swap_current
from penstock._core.types cimport CANCELLED, DETACHED, FAILED, READY, RETRYING, RUNNING, SKIPPED, SUCCEEDED

from penstock._core._awaiting import awaited_result
from penstock.errors import Skip


cdef extern from "clock.h":
    double ps_monotonic() noexcept
    double ps_wall_clock() noexcept


cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()


cdef extern from "calls.h":
    bint ps_is_coroutine_function(PyObject *callable)
    bint ps_is_awaitable(PyObject *value)
    bint ps_has_attributes(PyObject *object)
    void ps_drop_attributes(PyObject *object)
    bint ps_is_weakly_referenced(PyObject *object)
    const void *PyList_GET_ITEM_ADDRESS "ps_list_place"(PyObject *list, Py_ssize_t at)
    void ps_list_put(PyObject *list, Py_ssize_t at, PyObject *value)


cdef extern from "raised.h":
    PyObject *ps_take_raised()


cdef object CancelledError = asyncio.CancelledError
cdef object CLOSE = "close"
cdef object CALL_SPECIALLY = "call_specially"

#: How a task is called that is not called plainly: through the policies, or as a task that nobody waits for.
cdef enum:
    SPECIAL = 1
    TAIL = 2


class Unset:
    """Stands in the column of results for a task that has none."""

    __slots__ = ()

    def __repr__(self):
        return "<no result>"


UNSET = Unset()
cdef object NO_RESULT = UNSET


def monotonic():
    """Seconds on the clock of all runs."""
    return ps_monotonic()


def register_task(task):
    """Have ``asyncio.all_tasks`` show it until it is done."""
    asyncio.tasks._register_task(task)


def run_of(task):
    """The run that a task is a body of, or None."""
    return (<Task> task).owner if type(task) is Task else None


def functions_by_task(object names, dict functions):
    """The functions of the names, in their order; None if one is missing or cannot be called.

    A dict that was made in the order of the names, of the very same objects, is walked through; only where it
    differs are names looked up.  Called once per run that is given a mapping.
    """
    cdef list found = []
    cdef Py_ssize_t place = 0
    cdef PyObject *key = NULL
    cdef PyObject *function = NULL
    cdef bint in_step = True
    for name in names:
        if in_step:
            in_step = PyDict_Next(functions, &place, &key, &function) and key == <PyObject *> name
        if not in_step:
            # Looking up may run code of the names, which may change the dict: no more walking from here on.
            function = PyDict_GetItemWithError(functions, name)
        if function == NULL or not PyCallable_Check(<object> function):
            return None
        found.append(<object> function)
    return found


cdef class Dispatch(Owner):
    """Drives one run of a plan on one event loop.

    Owns the run's state, its results and the tasks that are suspended.  Belongs to its loop's thread.

    Parameters
    ----------
    core
        The state of the run.
    loop
        The running event loop.
    functions
        What to call without arguments, by task; or None.
    function
        What to call with the name, if there are no functions by task.
    names
        The tasks' names.
    stop_on_failure
        Stop the run at the first failure.
    time_slice
        Seconds after which the loop gets its turn.
    pass_results
        Call with the results of the dependencies.
    keep
        Whose results the report will have: None for all, ``"sinks"``, ``"none"``, or task indices.
    plan, missing
        Kept for the subclass: the facade's plan, and the names that have no function.
    policing
        Decides about retries and the like; None if there are no policies.
    clock
        Gives the time in seconds; None for the monotonic clock.
    slow
        A body that keeps the event loop for longer than these seconds is worth a warning.
    """

    def __cinit__(self, RunState core not None, object loop, list functions, object function, object names,
                  bint stop_on_failure, double time_slice, object plan=None, object missing=None,
                  bint pass_results=False, object keep=None, object policing=None, object clock=None,
                  double slow=INFINITY):
        self._plan = plan
        self._missing = missing
        self._core = core
        self._loop = loop
        self.functions = functions
        self.function = function
        self.names = names
        self.stop_on_failure = stop_on_failure
        self.time_slice = time_slice
        self.run_context = contextvars.copy_context()
        self.values = [UNSET] * core.plan.n
        self.pass_results = pass_results
        if pass_results:
            core.plan.graph.trust()
        self.keeps_all = keep is None
        if not self.keeps_all:
            self.choose_values(keep)
        self._policing = policing
        self.clock = clock
        self.slow = slow
        self._epoch = ps_wall_clock()
        self._thread = PyThread_get_thread_ident()
        self.started_at = self.now()

    def __dealloc__(self):
        ps_free(self.special)
        ps_free(self.kept)
        ps_free(self.uses_left)

    cdef int choose_values(self, object keep) except -1:
        """Note which values are for the report, and how many tasks still want each of the others."""
        cdef Plan plan = self._core.plan
        cdef Py_ssize_t position
        self.kept = <uint8_t *> ps_alloc_zero(plan.n, 1)
        if self.kept == NULL:
            raise MemoryError
        if keep == "sinks":
            for position in range(plan.n):
                self.kept[position] = plan.successor_from(position) == plan.successor_from(position + 1)
        elif keep != "none":
            for task in keep:
                self.kept[plan.position_of[<Py_ssize_t> task]] = 1
        if self.pass_results:
            self.uses_left = <int32_t *> ps_alloc(plan.n, sizeof(int32_t))
            if self.uses_left == NULL:
                raise MemoryError
            for position in range(plan.n):
                self.uses_left[position] = <int32_t> (plan.successor_from(position + 1)
                                                      - plan.successor_from(position))
        return 0

    # -- the loop -------------------------------------------------------------------------------------------

    cdef int advance(self) except -1:
        """Take one time slice; an error of our own ends the run instead of leaving it to hang."""
        if self.advancing or self.finished:
            return 0
        self.advancing = True
        try:
            self.take_slice()
            if self.more_to_start():
                self.pause()
            elif self.stalled():
                raise self._deadlock()
        except BaseException as error:
            self.crash(error)
        finally:
            self.advancing = False
        try:
            if self.watched:
                self._progressed()
        except MemoryError:
            raise  # there will be other news
        except BaseException as error:
            self.crash(error)  # of an observer that ends everything
        finally:
            # Whatever became of the news, a run whose tasks have all ended is over.
            self.close_if_done()
        return 0

    cdef bint more_to_start(self) noexcept:
        return self._core.queue.count > 0 and (
            self._core.max_running == 0 or self._core.counts[RUNNING] < self._core.max_running)

    cdef int take_slice(self) except -1:
        """Start and step ready tasks until there are none, the limit is reached or the time slice is over."""
        cdef RunState core = self._core
        cdef PyObject *run_context = <PyObject *> self.run_context
        cdef PyObject *context
        cdef PyObject *value
        cdef PyObject *sent
        cdef PySendResult outcome
        cdef int32_t position
        cdef double begun, now, deadline
        cdef Task task = self.spare
        cdef bint current = False        # our task is the loop's current one
        cdef bint inside = False         # it is, or another is that has just suspended
        cdef Py_ssize_t unshared = 0     # the task's reference count while nobody else has it
        cdef object before = None        # who was current when we came
        cdef Py_ssize_t n_stops          # when the body began
        self.spare = None
        now = self.now()
        deadline = now + self.time_slice
        try:
            while True:
                position = core.start_next(now)
                if position < 0:
                    break
                if inside and not self.runs_later(position):
                    # A plain function runs in the call itself, and is nobody's task.
                    swap_current(self._loop, before)
                    current = inside = False
                if self.special != NULL and self.special[position] == TAIL:
                    self.start_tail(position)
                    continue
                context = PyContext_Copy(run_context)
                if context == NULL:
                    # Out of memory before the body began: that is this task's failure.
                    self.note_error(position, take(ps_take_raised()), now)
                    continue
                n_stops = self.n_stops
                PyContext_Enter(context)
                value = self.call_body(position)
                if value != NULL and not PyCoro_CheckExact(value) and ps_is_awaitable(value):
                    value = self.as_coroutine(value)
                if value == NULL or not PyCoro_CheckExact(value):
                    if value == NULL:
                        # At once: nothing else may run while an exception is set.
                        sent = ps_take_raised()
                    PyContext_Exit(context)
                    Py_DECREF(context)
                    begun = now
                    now = self.now()
                    if value != NULL:
                        self.end_pristine(position, value, now)
                    else:
                        self.note_error(position, take(sent), now)
                    if now - begun > self.slow:
                        self._blocked(position, now - begun)
                    if now >= deadline:
                        break
                    continue

                if not current:
                    try:
                        if task is None:
                            task = self.fresh_task()
                        if inside:
                            set_current(self._loop, task)
                        else:
                            before = swap_current(self._loop, task)
                    except BaseException as error:
                        # As above.
                        PyContext_Exit(context)
                        Py_DECREF(context)
                        close_unbegun(value)
                        self.note_error(position, error, now)
                        continue
                    current = inside = True
                    unshared = Py_REFCNT(<PyObject *> task)
                task.coro = <object> value
                task.context = <object> context
                task.position = position
                sent = NULL
                outcome = PyIter_Send(value, Py_None, &sent)
                if outcome == PYGEN_ERROR:
                    sent = ps_take_raised()
                PyContext_Exit(context)
                Py_DECREF(value)
                Py_DECREF(context)
                begun = now
                now = self.now()
                if outcome == PYGEN_RETURN and self.pristine(task, unshared):
                    task.coro = None
                    task.context = None
                    self.end_pristine(position, sent, now)
                elif outcome == PYGEN_NEXT:
                    # As in asyncio it is still current while it is arranged what will wake it.
                    current = False
                    self.suspend(task, position, take(sent), self.n_stops != n_stops)
                    task = None
                else:
                    swap_current(self._loop, before)
                    current = inside = False
                    if outcome == PYGEN_RETURN:
                        self.end_kept(task, position, take(sent), None, now)
                    else:
                        self.end_kept(task, position, None, take(sent), now)
                    task = None
                if now - begun > self.slow:
                    self._blocked(position, now - begun)
                if now >= deadline:
                    break
        finally:
            if inside:
                swap_current(self._loop, before)
        self.spare = task
        return 0

    cdef bint runs_later(self, int32_t position) noexcept:
        """Does calling the function of this task only make a coroutine?"""
        if self.special != NULL and self.special[position]:
            return self.special[position] == SPECIAL
        if self.functions is None:
            return ps_is_coroutine_function(<PyObject *> self.function)
        return ps_is_coroutine_function(PyList_GET_ITEM(self.functions, self._core.plan.task_at[position]))

    cdef PyObject *call_body(self, int32_t position) noexcept:
        """Call the function of a task; a new reference, or NULL with the exception set."""
        cdef int32_t task = self._core.plan.task_at[position]
        cdef PyObject *number
        cdef PyObject *value
        if self.special != NULL and self.special[position]:
            number = PyLong_FromLong(position)
            if number == NULL:
                return NULL
            value = PyObject_CallMethodOneArg(<PyObject *> self._policing, <PyObject *> CALL_SPECIALLY, number)
            Py_DECREF(number)
            return value
        if self.pass_results:
            return self.call_with_results(task)
        if self.functions is not None:
            self.look_ahead(self.functions)
            return PyObject_CallNoArgs(PyList_GET_ITEM(self.functions, task))
        return self.call_with_name(task)

    cdef void look_ahead(self, list column) noexcept:
        """Have the functions or names needed soon on their way; they lie wherever they were made."""
        cdef ReadyQueue queue = self._core.queue
        cdef int32_t soon
        if queue.count > 16 and not queue.by_priority:
            soon = self._core.plan.task_at[queue.items[(queue.head + 16) & (queue.room - 1)]]
            PS_PREFETCH(PyList_GET_ITEM_ADDRESS(<PyObject *> column, soon))
            soon = self._core.plan.task_at[queue.items[(queue.head + 8) & (queue.room - 1)]]
            PS_PREFETCH(PyList_GET_ITEM(column, soon))

    # The next two hand an exception on as C functions do, set and with NULL.  So nothing in them may be left to
    # Cython that can raise: in a `noexcept` function it would print the exception and go on without one.

    cdef PyObject *call_with_name(self, int32_t task) noexcept:
        cdef PyObject *number
        cdef PyObject *value
        if type(self.names) is list:
            self.look_ahead(<list> self.names)
            return PyObject_CallOneArg(<PyObject *> self.function, PyList_GET_ITEM(self.names, task))
        number = PyLong_FromLong(task)
        if number == NULL:
            return NULL
        value = PyObject_CallOneArg(<PyObject *> self.function, number)
        Py_DECREF(number)
        return value

    cdef PyObject *call_with_results(self, int32_t task) noexcept:
        """Call with the results of the dependencies in the order declared, behind the name if there is one function."""
        cdef Graph graph = self._core.plan.graph
        cdef PyObject *few[16]
        cdef PyObject **arguments = few
        cdef PyObject *function
        cdef PyObject *value
        cdef PyObject *number = NULL
        cdef int64_t first = ps_row_start(&graph.rows, task), last = ps_row_start(&graph.rows, task + 1), e
        cdef size_t count = 0
        if not graph.row_is_sound(task):
            PyErr_SetString(ValueError, "indptr or indices were changed while a plan of them was in use")
            return NULL
        if last - first > 14:
            arguments = <PyObject **> ps_alloc(last - first + 2, sizeof(PyObject *))
            if arguments == NULL:
                return PyErr_NoMemory()
        if self.functions is None:
            function = <PyObject *> self.function
            if type(self.names) is list:
                arguments[count] = PyList_GET_ITEM(self.names, task)
            else:
                number = PyLong_FromLong(task)
                if number == NULL:
                    if arguments != few:
                        ps_free(arguments)
                    return NULL
                arguments[count] = number
            count += 1
        else:
            function = PyList_GET_ITEM(self.functions, task)
        for e in range(first, last):
            # Borrowed: the column keeps them until this very task has ended.
            arguments[count] = PyList_GET_ITEM(self.values, self._core.plan.position_of[graph.rows.indices[e]])
            if arguments[count] == <PyObject *> NO_RESULT:
                arguments[count] = Py_None  # of a dependency that did not succeed, in a task that runs always
            count += 1
        value = PyObject_Vectorcall(function, arguments, count, NULL)
        Py_XDECREF(number)
        if arguments != few:
            ps_free(arguments)
        return value

    cdef PyObject *as_coroutine(self, PyObject *value) noexcept:
        """A coroutine that awaits what the function returned; takes the reference over."""
        cdef PyObject *coroutine = PyObject_CallOneArg(<PyObject *> awaited_result, value)
        Py_DECREF(value)
        return coroutine

    cdef bint pristine(self, Task task, Py_ssize_t unshared) noexcept:
        """Is the object just as it was before this body, so that the next one may have it?"""
        return (
            Py_REFCNT(<PyObject *> task) == unshared
            and task.n_cancels == 0
            and not task._must_cancel
            and task.callback is None
            and task.task_name is None
            and not ps_has_attributes(<PyObject *> task)
            and not ps_is_weakly_referenced(<PyObject *> task)
        )

    cdef Task fresh_task(self):
        cdef Task task = Task.__new__(Task)
        # What init_future would do, but for the source traceback: a loop in debug mode asks for it.
        ps_drop_attributes(<PyObject *> task)
        task._loop = self._loop
        task._log_destroy_pending = False
        task.owner = self
        return task

    # -- ends -----------------------------------------------------------------------------------------------

    cdef int end_pristine(self, int32_t position, PyObject *value, double now) except -1:
        """A body gave its value at once; takes the reference over."""
        if self.keeps_all or self.kept[position] or self.uses_left != NULL and self.uses_left[position] > 0:
            ps_list_put(<PyObject *> self.values, position, value)
        else:
            Py_DECREF(value)
        if self.uses_left != NULL:
            self.release_inputs(position)
        return self._core.finish_one(position, SUCCEEDED, now)

    cdef int release_inputs(self, int32_t position) except -1:
        """A task has ended: let go of the values that it was the last to need."""
        cdef Graph graph = self._core.plan.graph
        cdef int32_t task = self._core.plan.task_at[position], source
        cdef int64_t e
        if not graph.row_is_sound(task):
            return 0  # the values are let go when the run is over
        for e in range(ps_row_start(&graph.rows, task), ps_row_start(&graph.rows, task + 1)):
            source = self._core.plan.position_of[graph.rows.indices[e]]
            self.uses_left[source] -= 1
            if self.uses_left[source] == 0 and not self.kept[source]:
                self.values[source] = UNSET
        return 0

    cdef int release_ended(self, Py_ssize_t seen) except -1:
        """Do that for every task that ended, or was skipped, since `seen` had."""
        cdef Py_ssize_t i, n = self._core.n_finished
        if self.uses_left != NULL:
            for i in range(seen, n):
                self.release_inputs(self._core.finished[i])
        return 0

    cdef int release_rest(self) except -1:
        """The run is over: let go of values kept for tasks that were never started."""
        cdef Py_ssize_t position
        for position in range(self._core.plan.n):
            if not self.kept[position] and self.values[position] is not UNSET:
                self.values[position] = UNSET
        return 0

    cdef int end_kept(self, Task task, int32_t position, object value, object error, double now) except -1:
        """A body ended whose task somebody may hold: end the task as asyncio would, and note how."""
        if error is None:
            task.take_value(value)
        else:
            task.take_error(error)
        task.owner = None
        return self.note_end(task, position, now)

    cdef int note_end(self, Task task, int32_t position, double now) except -1:
        """Take the outcome from a finished task."""
        cdef PyObject *value
        task.log_traceback = False  # the run reports it
        if task.status == FUTURE_CANCELLED:
            return self.note_error(position, task.make_cancelled_error(), now)
        if task.error is not None:
            return self.note_error(position, task.error, now)
        value = <PyObject *> task.value
        Py_INCREF(value)
        return self.end_pristine(position, value, now)

    cdef int note_error(self, int32_t position, object error, double now) except -1:
        """A body raised: decide what that makes of its task."""
        cdef uint8_t outcome = FAILED
        if PyErr_GivenExceptionMatches(error, CancelledError):
            outcome = CANCELLED
        elif PyErr_GivenExceptionMatches(error, Skip):
            outcome = SKIPPED
        if self._policing is not None:
            outcome, error = self._policing.judge(position, outcome, error, now)
            if outcome == RETRYING:
                return 0
        return self.note_outcome(position, outcome, error, now)

    cdef int note_outcome(self, int32_t position, uint8_t outcome, object error, double now) except -1:
        """A task did not succeed: skip what depends on it, and stop the run if that is the policy."""
        cdef Py_ssize_t before = self._core.n_finished
        self._core.need_causes()
        if self.errors is None:
            self.errors = {}
        self.errors[position] = error
        self._core.finish_one(position, outcome, now)
        self.release_ended(before)
        if outcome != FAILED:
            return 0
        if self.failures is None:
            self.failures = []
        self.failures.append(position)
        if PyErr_GivenExceptionMatches(error, (KeyboardInterrupt, SystemExit)):
            if self.fatal is None:
                self.fatal = error
            self._stop()
        else:
            self._failed(position, error)
            # Once: a second failure must not interrupt the clean-up of those cancelled because of the first.
            if self.stop_on_failure and not self._core.stopped:
                self._stop()
        return 0

    cdef int crash(self, object error) except -1:
        """Something of ours failed, most likely for want of memory: stop, and raise it where the run is awaited."""
        cdef Py_ssize_t position
        if self.fatal is None:
            self.fatal = error
        self.stop_core(True)
        self.drop_retries()
        for position in range(self._core.plan.n):
            if self._core.state[position] == RUNNING and (self.suspended is None or position not in self.suspended):
                self.note_outcome(<int32_t> position, FAILED, error, self.now())
        return self.cancel_together(self.suspended_tasks())

    cdef list suspended_tasks(self):
        return [] if self.suspended is None else list(self.suspended.values())

    cdef int cancel_together(self, list tasks) except -1:
        """Cancel bodies that wait."""
        cdef Task task
        for task in tasks:
            if type(task.waiter) is Task and (<Task> task.waiter).owner is self:
                # It waits for one that is cancelled here as well, and is woken by its end; to go down a chain of such
                # tasks from each of them would be quadratic.
                task.n_cancels += 1
                task._must_cancel = True
            else:
                task.request_cancel()
        return 0

    # -- suspended bodies -------------------------------------------------------------------------------------

    cdef int suspend(self, Task task, int32_t position, object awaited, bint stopped) except -1:
        """A body really waits: from here on its task is one of the event loop's.

        `stopped`: it stopped the run in its first step.  Those that waited already were cancelled then; what begins
        after a stop, to clean up, is not.
        """
        if self.suspended is None:
            self.suspended = {}
        self.suspended[position] = task
        try:
            task.register()
            if stopped:
                task.request_cancel()
            task.take_yield(awaited)
        except BaseException:
            if task.waiter is None:
                # Nobody would wake it: then it is not suspended but lost, and so is the run.
                task.owner = None
                self.suspended.pop(position, None)
            raise
        task._log_destroy_pending = True
        if self.task_timeout > 0.0 or self.timeouts is not None:
            self.arm_timeout(position)
        return 0

    cdef int task_ended(self, Task task) except -1:
        """Called by a suspended task's last step."""
        task.owner = None
        try:
            self.suspended.pop(task.position, None)
            if self.deadlines is not None:
                self.deadlines.disarm_item(task.position)
            self.note_end(task, task.position, self.now())
        except BaseException as error:
            self.crash(error)
        # Not if a turn is due anyway: then a slice was used up, and others are waiting for theirs.
        if not self.scheduled:
            self.advance()
        return 0

    cdef int step_was_slow(self, Task task, double seconds) except -1:
        """Called by a step of a suspended task that kept the event loop."""
        self._blocked(task.position, seconds)
        return 0

    # -- turns ------------------------------------------------------------------------------------------------

    cdef int schedule(self) except -1:
        """Have the event loop call for a time slice in its next turn."""
        return self.call_soon(self._turn)

    cdef int pause(self) except -1:
        """The time slice is used up: let the event loop turn twice before the next.

        A coroutine that sleeps is woken in two turns, one for the timer and one for the task; with a slice in between
        it would wait for both.
        """
        return self.call_soon(self._after_pause)

    cdef int call_soon(self, object callback) except -1:
        if not self.scheduled and not self.finished:
            if self._loop.is_closed():
                return self.abandon()
            # In the run's context, which is nobody's body's.
            self._loop.call_soon(callback, context=self.run_context)
            self.scheduled = True
        return 0

    def _after_pause(self):
        """The first of the two turns is over."""
        self.scheduled = False
        try:
            self.schedule()
        except BaseException as error:
            self.crash(error)
            self.close_if_done()

    cdef int abandon(self) except -1:
        """The event loop was closed under the run: nothing will be resumed, so everything ends here."""
        cdef Py_ssize_t position
        cdef Task task
        self.stop_core(True)
        for task in self.suspended_tasks():
            task.owner = None
            task._log_destroy_pending = False
        self.suspended = None
        for position in range(self._core.plan.n):
            if self._core.state[position] == RETRYING:
                self._policing.drop(position)
            if self._core.state[position] == RUNNING or self._core.state[position] == RETRYING:
                self.note_outcome(<int32_t> position, CANCELLED, CancelledError("the event loop was closed"),
                                  self.now())
        return self.close_if_done()


    def _turn(self):
        """One time slice, called by the event loop."""
        self.scheduled = False
        self.advance()

    def _begin(self):
        """The first time slice, in the caller's turn."""
        self.advance()

    def _schedule(self):
        """Ask the event loop for a turn."""
        self.schedule()

    cdef int close_if_done(self) except -1:
        if not self.finished and self._core.n_finished == self._core.plan.n:
            self.ended_at = self.now()
            self.finished = True
            self.spare = None
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            if self.uses_left != NULL:
                self.release_rest()
            if self.concerns_anybody():
                self._closed()
        return 0

    cdef bint concerns_anybody(self) noexcept:
        """Is there anybody to be told of the end?  Nobody is where a small graph has ended in its caller's turn."""
        return (
            self._waiter is not None or self._guard is not None or self._callbacks is not None
            or self._policing is not None or self._watchers is not None or self._observation is not None
            or self._progress is not None or self._progress_timer is not None
        )

    # -- deadlines --------------------------------------------------------------------------------------------

    cdef double now(self) except? -1.0:
        return ps_monotonic() if self.clock is None else self.clock()

    cdef int need_deadlines(self) except -1:
        if self.deadlines is None:
            # One item for each task, and one for the run.
            self.deadlines = Deadlines(self._core.plan.n + 1)
        return 0

    cdef int arm_timeout(self, int32_t position) except -1:
        """A body has suspended: from now on its attempt can run out of time."""
        cdef double seconds = self.task_timeout
        if self.timeouts is not None:
            seconds = self.timeouts.get(position, seconds)
        if seconds > 0.0 and not self._policing.waits(position):
            self.need_deadlines()
            self.deadlines.arm_item(position, self._core.started[position] + seconds)
            self.set_timer()
        return 0

    cdef int set_timer(self) except -1:
        """Have the event loop call at the earliest deadline, or before."""
        cdef double first
        if self.deadlines.count == 0 or self.finished:
            return 0
        first = self.deadlines.when[0]
        if self.timer is not None:
            if self.timer_at <= first:
                return 0
            self.timer.cancel()
        self.timer = self._loop.call_later(max(0.0, first - self.now()), self._expire, context=self.run_context)
        self.timer_at = first
        return 0

    def _expire(self):
        """The event loop says that a deadline may have come."""
        cdef int32_t item
        self.timer = None
        if self.finished:
            return
        try:
            now = self.now()
            item = self.deadlines.pop_due(now)
            while item >= 0:
                self.expire(item, now)
                item = self.deadlines.pop_due(now)
            self.set_timer()
        except BaseException as error:
            self.crash(error)
        if not self.scheduled:
            self.advance()

    cdef int expire(self, int32_t item, double now) except -1:
        cdef Task task
        if item == self._core.plan.n:
            self._policing.run_timed_out()
            self._stop()
        elif self._core.state[item] == RETRYING:
            self._core.take_again(item)
        elif self.suspended is not None and item in self.suspended and not self._policing.waits(item):
            self._policing.task_timed_out(item)
            task = self.suspended[item]
            task.request_cancel()
        return 0

    cdef int start_tail(self, int32_t position) except -1:
        """Start a task that nobody waits for: it is out of the run before its body begins."""
        self._core.finish_one(position, DETACHED, self.now())
        self._policing.start_tail(position)
        return 0

    cdef int stop_core(self, bint entirely) except -1:
        """Skip what has not started; what is ready for another attempt did start, and is one that waits for it again."""
        cdef RunState core = self._core
        cdef int32_t position
        if core.stopped and (core.always == NULL or not entirely):
            return 0
        if self._policing is not None and self._policing.facts.attempts:
            # Nothing that can fail comes in between.
            self.need_deadlines()
            core.need_causes()
            core.queue.reserve(core.counts[READY])
            for position in list(self._policing.facts.attempts):
                if core.state[position] == READY and (entirely or core.always == NULL or not core.always[position]):
                    core.recall(position)
        core.stop(entirely)
        self.n_stops += 1
        return 0

    cdef int drop_retries(self) except -1:
        """The run was stopped: what waits for a retry gets none, unless it is to run always."""
        cdef int32_t position
        if self._core.counts[RETRYING] == 0:
            return 0
        for position in range(self._core.plan.n):
            if self._core.state[position] != RETRYING or self._core.always != NULL and self._core.always[position]:
                continue
            self.deadlines.disarm_item(position)
            self._policing.drop(position)
            self.note_outcome(position, CANCELLED, CancelledError("the run was stopped before the retry"), self.now())
        return 0

    cdef bint stalled(self) noexcept:
        """Are there unfinished tasks, and nothing that would ever finish one?"""
        return (
            self._core.n_finished < self._core.plan.n
            and (self.suspended is None or len(self.suspended) == 0)
            and self._core.counts[RETRYING] == 0
            and not self.scheduled
        )

    # -- for the policies -------------------------------------------------------------------------------------

    def _set_special(self, object tasks, bint tail=False):
        """Have these tasks, by index, started through the policies; before the run begins."""
        cdef Plan plan = self._core.plan
        if self.special == NULL:
            self.special = <uint8_t *> ps_alloc_zero(plan.n, 1)
            if self.special == NULL:
                raise MemoryError
        for task in tasks:
            if not 0 <= task < plan.n:
                raise IndexError(f"task {task} is out of range for {plan.n} tasks")
            self.special[plan.position_of[<Py_ssize_t> task]] = TAIL if tail else SPECIAL

    def _set_timeouts(self, double run, double each, dict by_position):
        """Limit the seconds of the run, of every attempt, and of those of single tasks; 0.0 is no limit."""
        self.task_timeout = each
        self.timeouts = by_position or None
        if run > 0.0:
            self.need_deadlines()
            self.deadlines.arm_item(<int32_t> self._core.plan.n, self.started_at + run)
            self.set_timer()

    def _time(self):
        """Seconds on the clock of the run."""
        return self.now()

    def _retry_at(self, Py_ssize_t position, double when, double now):
        """A running task's attempt failed; the next one is due then."""
        self._core.retry(position, now)
        if when <= now:
            self._core.take_again(<int32_t> position)
            return
        self.need_deadlines()
        self.deadlines.arm_item(<int32_t> position, when)
        self.set_timer()

    def _retry_in_place(self, Py_ssize_t position, double now):
        """A running task's attempt failed; the next one begins at once, in the same place."""
        self._core.restart(position, now)
        if self.suspended is not None and position in self.suspended:
            self.arm_timeout(<int32_t> position)

    def _begin_body(self, Py_ssize_t position):
        """The body of a running task begins only now: what it waited for before does not count."""
        if not 0 <= position < self._core.plan.n or self._core.state[position] != RUNNING:
            raise ValueError(f"position {position} is not running")
        self._core.started[position] = self.now()
        if self.suspended is not None and position in self.suspended:
            self.arm_timeout(<int32_t> position)

    def _end_body(self, Py_ssize_t position):
        """The body of a running task is over: what it still leaves does not count against its time."""
        if self.deadlines is not None:
            self.deadlines.disarm(position)

    def _start_of(self, Py_ssize_t position):
        """When the current attempt of a running task began."""
        return self._core.start_times[position]

    def _set_start(self, Py_ssize_t position, double when):
        """Correct when a running task began."""
        if 0 <= position < self._core.plan.n and self._core.state[position] == RUNNING:
            self._core.started[position] = when

    def _forget_start(self, Py_ssize_t position):
        """A running task is about to be skipped: its body never began."""
        self._set_start(position, NAN)

    def _is_stopped_for(self, Py_ssize_t position):
        """Is the run stopped, as far as this task is concerned?"""
        return self._core.stopped and not (self._core.always != NULL and self._core.always[position])

    def _new_context(self):
        """A copy of the context of the run, for a body."""
        return self.run_context.copy()

    def _call_of(self, Py_ssize_t position):
        """The function of a task and the arguments that it is to be called with."""
        cdef Graph graph = self._core.plan.graph
        cdef int32_t task
        if not 0 <= position < self._core.plan.n:
            raise IndexError(f"position {position} is out of range for {self._core.plan.n} tasks")
        task = self._core.plan.task_at[position]
        arguments = []
        if self.functions is None:
            arguments.append(self.names[task])
        if self.pass_results:
            for source in graph.predecessors_of(task):
                value = self.values[self._core.plan.position_of[<Py_ssize_t> source]]
                arguments.append(None if value is UNSET else value)
        return self.function if self.functions is None else self.functions[task], arguments

    # -- what a subclass adds ---------------------------------------------------------------------------------

    def _closed(self):
        """Every task has ended."""

    def _failed(self, position, error):
        """A task failed."""

    def _progressed(self):
        """A time slice is over; called if `watched`."""

    def _blocked(self, position, seconds):
        """A body kept the event loop for long."""

    def _deadlock(self):
        """Return the exception for a run in which nothing moves any more."""
        return RuntimeError("nothing is running and tasks are left")

    def _stop(self, bint entirely=False):
        """Skip what has not started and cancel, all together and once, what is suspended.

        Parameters
        ----------
        entirely
            Neither start any more of the tasks that run always.
        """
        cdef Py_ssize_t before = self._core.n_finished
        cdef list tasks
        # A failure or a cancellation after the first must not fall into the clean-up of the others; what runs always
        # and began after it may be stopped by a second one.
        if not self._core.stopped or entirely and self._core.always != NULL:
            tasks = self.suspended_tasks()  # before anything changes, so that without memory nothing does
            self.stop_core(entirely)
            self.release_ended(before)
            self.drop_retries()
            self.cancel_together(tasks)
        if not self.advancing:
            self.schedule()

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def _results(self):
        """Results by position; not to be changed."""
        return self.values

    @property
    def _exceptions(self):
        """The exceptions of the tasks that did not succeed, by position; not to be changed."""
        return {} if self.errors is None else self.errors

    @property
    def _failed_positions(self):
        """Positions of the failed tasks in the order they failed; not to be changed."""
        return [] if self.failures is None else self.failures


cdef object take(PyObject *reference):
    """Turn a reference of ours into an object."""
    taken = <object> reference
    Py_DECREF(reference)
    return taken


cdef int close_unbegun(PyObject *coroutine) noexcept:
    """Drop a coroutine that will never be stepped, without the warning that it was never awaited."""
    cdef PyObject *nothing = PyObject_CallMethodNoArgs(coroutine, <PyObject *> CLOSE)
    if nothing == NULL:
        PyErr_Clear()
    Py_XDECREF(nothing)
    Py_DECREF(coroutine)
    return 0
