"""Task: a coroutine stepped by the core, under its own identity."""

from libc.stdint cimport int32_t

from penstock._core.future cimport Future


cdef class Owner:
    # Whoever starts tasks on its own account and wants to hear of their end directly.
    cdef int task_ended(self, Task task) except -1
    # A resumed step that takes longer than so many seconds is told.
    cdef readonly double slow
    cdef int step_was_slow(self, Task task, double seconds) except -1


cdef class Task(Future):
    cdef object coro
    cdef object context
    cdef object waiter               # the future it waits for
    cdef object task_name            # None: made when asked for
    cdef public bint _must_cancel
    cdef public bint _log_destroy_pending
    cdef int n_cancels
    cdef object shown_as             # the weak reference by which asyncio.all_tasks finds it
    # For the dispatcher
    cdef Owner owner
    cdef int32_t position

    cdef int step(self, object error) except -1
    cdef int step_once(self, object error) except -1
    cdef int resume(self, object error) except -1
    cdef int take_value(self, object value) except -1
    cdef int take_error(self, object error) except -1
    cdef int take_yield(self, object awaited) except -1
    cdef int wait_for(self, object awaited) except -1
    cdef int wake_anyway(self) except -1
    cdef int request_cancel(self) except -1
    cdef int reject(self, str message) except -1
    cdef int register(self) except -1
    cdef int unregister(self) except -1


cdef object swap_current(object loop, object task)
cdef int set_current(object loop, object task) except -1
