"""Dispatch: the loop that runs a plan."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t

from penstock._core.deadlines cimport Deadlines
from penstock._core.run cimport RunState
from penstock._core.step cimport Owner, Task


cdef class Dispatch(Owner):
    cdef readonly RunState _core
    cdef readonly object _loop
    cdef readonly object _plan
    cdef readonly object _missing
    cdef object run_context          # every body runs in a copy of it
    # what to call: one of the two
    cdef list functions              # by task
    cdef object function             # of the name
    cdef object names                # by task: a list or a range
    # columns and what else is known of the tasks
    cdef list values                 # results by position; UNSET where there is none
    cdef bint pass_results           # call with the results of the dependencies
    cdef bint keeps_all
    cdef uint8_t *kept               # by position: the value is for the report; NULL if all are
    cdef int32_t *uses_left          # by position: how many tasks still want the value; NULL if it does not matter
    cdef dict errors                 # position -> the exception of a task that did not succeed
    cdef list failures               # positions in the order they failed
    cdef dict suspended              # position -> Task: holds what the loop holds only weakly
    cdef readonly object fatal       # a KeyboardInterrupt or SystemExit from a body
    cdef public bint stop_on_failure
    cdef public double time_slice
    cdef readonly bint finished
    cdef readonly double started_at
    cdef readonly double ended_at
    cdef public bint watched         # somebody wants to hear after every slice
    # policies; a run without any has None, NULL and 0.0 here
    cdef readonly object _policing    # decides what becomes of a task that did not succeed
    cdef uint8_t *special            # by position: SPECIAL or TAIL
    cdef Deadlines deadlines
    cdef object timer                # of the event loop, for the earliest deadline
    cdef double timer_at
    cdef double task_timeout         # seconds for each attempt; 0.0: none
    cdef dict timeouts               # position -> the same for that task
    cdef object clock       # gives seconds; None: the monotonic clock
    # of the subclass; None, False or 0 before it says otherwise
    cdef readonly double _epoch      # wall-clock seconds at the start
    cdef readonly unsigned long _thread
    cdef public bint _begun
    cdef public bint _cancelled
    cdef public object _final        # the report of the run that is over
    cdef public object _guard        # stands for the run among the loop's tasks
    cdef public object _waiter       # a future for all who wait
    cdef public object _awaiting     # their tasks
    cdef public object _callbacks
    cdef public object _watchers     # futures of those who iterate
    cdef public object _observation
    cdef public object _progress
    cdef public object _progress_timer
    cdef bint advancing
    cdef bint scheduled
    cdef Py_ssize_t n_stops          # how often what is suspended was cancelled together
    cdef Task spare

    cdef int advance(self) except -1
    cdef bint more_to_start(self) noexcept
    cdef int take_slice(self) except -1
    cdef int crash(self, object error) except -1
    cdef bint runs_later(self, int32_t position) noexcept
    cdef PyObject *call_body(self, int32_t position) noexcept
    cdef void look_ahead(self, list column) noexcept
    cdef PyObject *call_with_name(self, int32_t task) noexcept
    cdef PyObject *as_coroutine(self, PyObject *value) noexcept
    cdef PyObject *call_with_results(self, int32_t task) noexcept
    cdef int choose_values(self, object keep) except -1
    cdef int release_inputs(self, int32_t position) except -1
    cdef int release_ended(self, Py_ssize_t seen) except -1
    cdef int release_rest(self) except -1
    cdef list suspended_tasks(self)
    cdef int cancel_together(self, list tasks) except -1
    cdef bint pristine(self, Task task, Py_ssize_t unshared) noexcept
    cdef Task fresh_task(self)
    cdef int end_pristine(self, int32_t position, PyObject *value, double now) except -1
    cdef int end_kept(self, Task task, int32_t position, object value, object error, double now) except -1
    cdef int note_end(self, Task task, int32_t position, double now) except -1
    cdef int note_error(self, int32_t position, object error, double now) except -1
    cdef int suspend(self, Task task, int32_t position, object awaited, bint stopped) except -1
    cdef int schedule(self) except -1
    cdef int abandon(self) except -1
    cdef int pause(self) except -1
    cdef int call_soon(self, object callback) except -1
    cdef int close_if_done(self) except -1
    cdef bint concerns_anybody(self) noexcept
    cdef double now(self) except? -1.0
    cdef int need_deadlines(self) except -1
    cdef int arm_timeout(self, int32_t position) except -1
    cdef int set_timer(self) except -1
    cdef int expire(self, int32_t item, double now) except -1
    cdef int start_tail(self, int32_t position) except -1
    cdef int note_outcome(self, int32_t position, uint8_t outcome, object error, double now) except -1
    cdef int stop_core(self, bint entirely) except -1
    cdef int drop_retries(self) except -1
    cdef bint stalled(self) noexcept
