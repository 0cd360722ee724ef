"""Rules: what a run does beyond the plan's order.

Priorities, named limits, tasks that run whatever became of their predecessors, and barriers between the stages.
A run without any has no `Rules`, and pays for them with a comparison here and there.
"""

from cpython.number cimport PyNumber_Index
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from penstock._core.memory cimport ps_alloc, ps_alloc_zero, ps_free
from penstock._core.plan cimport Plan


cdef class Rules:
    """The rules of the runs of one plan, by position; immutable, so that several runs and threads may share them.

    Parameters
    ----------
    plan
        What the rules are for.
    always
        Tasks that start once all their predecessors have ended, however they did.
    capacities
        For each limit, how many tasks may run at once that use it.
    uses
        Task to the numbers of the limits that it uses.
    priorities
        Task to priority; the larger one is first, 0.0 is what all others have.
    barriers
        Let each stage begin only when all before it has ended.

    Raises
    ------
    IndexError
        No such task or limit.
    ValueError
        A capacity is not positive, or a priority is not a number.
    """

    def __cinit__(self, Plan plan not None, object always=(), object capacities=(), dict uses=None,
                  dict priorities=None, bint barriers=False):
        cdef Py_ssize_t n = plan.n
        self.plan = plan
        self.barriers = barriers
        if always:
            self.always = <uint8_t *> ps_alloc_zero(n, 1)
            if self.always == NULL:
                raise MemoryError
            for task in always:
                self.always[position_of(plan, task)] = 1
        if priorities:
            self.priority = <double *> ps_alloc_zero(n, sizeof(double))
            if self.priority == NULL:
                raise MemoryError
            for task, priority in priorities.items():
                if priority != priority:
                    raise ValueError(f"the priority of task {task} is not a number")
                self.priority[position_of(plan, task)] = priority
        capacities = [PyNumber_Index(capacity) for capacity in capacities]
        for limit, capacity in enumerate(capacities):
            if capacity < 1:
                raise ValueError(f"limit {limit} allows {capacity} tasks")
        if uses:
            self.add_limits(capacities, {
                task: tuple(sorted({PyNumber_Index(limit) for limit in used})) for task, used in uses.items()})

    def __dealloc__(self):
        ps_free(self.always)
        ps_free(self.priority)
        ps_free(self.limits_at)
        ps_free(self.capacity)
        ps_free(self.list_start)
        ps_free(self.list_items)

    def __reduce__(self):
        raise TypeError("Rules are made anew for each run and cannot be pickled")

    cdef int add_limits(self, list capacities, dict uses) except -1:
        """Number the distinct lists of limits, and note the number of its list for each task."""
        cdef Py_ssize_t n = self.plan.n, i
        cdef dict numbers = {}
        cdef int32_t number, at = 0
        self.n_limits = len(capacities)
        for used in uses.values():
            for limit in used:
                if not 0 <= limit < self.n_limits:
                    raise IndexError(f"limit {limit} is out of range for {self.n_limits} limits")
            numbers.setdefault(used, len(numbers))
        self.limits_at = <int32_t *> ps_alloc(n, sizeof(int32_t))
        self.capacity = <int32_t *> ps_alloc(self.n_limits, sizeof(int32_t))
        self.list_start = <int32_t *> ps_alloc(len(numbers) + 1, sizeof(int32_t))
        self.list_items = <int32_t *> ps_alloc(sum([len(used) for used in numbers]) + 1, sizeof(int32_t))
        if self.limits_at == NULL or self.capacity == NULL or self.list_start == NULL or self.list_items == NULL:
            raise MemoryError
        memset(self.limits_at, 0xFF, n * sizeof(int32_t))
        for i in range(self.n_limits):
            # More than there are tasks is as good as none, and fits.
            self.capacity[i] = <int32_t> min(capacities[i], max(n, 1))
        for used, number in numbers.items():
            self.list_start[number] = at
            for limit in used:
                self.list_items[at] = limit
                at += 1
        self.list_start[len(numbers)] = at
        for task, used in uses.items():
            if used:
                self.limits_at[position_of(self.plan, task)] = numbers[used]
        return 0


cdef Py_ssize_t position_of(Plan plan, Py_ssize_t task) except -1:
    if not 0 <= task < plan.n:
        raise IndexError(f"task {task} is out of range for {plan.n} tasks")
    return plan.position_of[task]
