"""Plan: the order in which tasks become ready, and their successors renumbered in it.

Everything a run touches is indexed by *position*, the place of a task in Kahn's order, first come first
served.  A run that starts tasks in this order walks its arrays from front to back, and the successors whose
counters it lowers lie close ahead; indexed by task instead, a wide random graph takes twice as long.

    diamond a -> b, c -> d given as  d, c, b, a      position   0  1  2  3
                                                     task_at    3  1  2  0      (a c b d)
                                                     stages     0 | 1  1 | 2
                                                     successors 1 2 | 3 | 3 |

Tasks of one stage have neighbouring positions, because whatever a stage makes ready belongs to the next.
"""

from libc.stdint cimport int32_t, int64_t, INT32_MAX
from libc.string cimport memcpy, memset

from penstock._core.columns cimport Column
from penstock._core.graph cimport Graph
from penstock._core.memory cimport ps_alloc, ps_alloc_zero, ps_free


cdef extern from "csr.h" nogil:
    int ps_check_32(const int32_t *indptr, const int32_t *indices, int64_t n, int64_t m, int64_t *where)
    int ps_check_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t m, int64_t *where)
    int64_t ps_transpose_32(const int32_t *indptr, const int32_t *indices, int64_t n, int64_t n_out,
                            int32_t *out_ptr, int32_t *out)
    int64_t ps_transpose_64(const int64_t *indptr, const int32_t *indices, int64_t n, int64_t n_out,
                            int64_t *out_ptr, int32_t *out)
    int64_t ps_kahn_32(const int32_t *pred_ptr, const int32_t *succ_ptr, const int32_t *succ, int64_t n,
                       int32_t *order, int32_t *rank, int32_t *in_degree, int32_t *ranked_ptr, int32_t *ranked,
                       int32_t *stage_start, int32_t *depth, int32_t *pending)
    int64_t ps_kahn_64(const int64_t *pred_ptr, const int64_t *succ_ptr, const int32_t *succ, int64_t n,
                       int32_t *order, int32_t *rank, int32_t *in_degree, int64_t *ranked_ptr, int32_t *ranked,
                       int32_t *stage_start, int32_t *depth, int32_t *pending)
    int64_t ps_longest_path_32(const int32_t *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                               double *reach, int32_t *via)
    int64_t ps_longest_path_64(const int64_t *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                               double *reach, int32_t *via)
    void ps_remaining_32(const int32_t *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                         double *remaining)
    void ps_remaining_64(const int64_t *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                         double *remaining)
    int64_t ps_max_parallelism_32(const int32_t *ranked_ptr, const int32_t *ranked, int64_t n, int32_t depth,
                                  const int32_t *stage_of_position, int64_t *change)
    int64_t ps_max_parallelism_64(const int64_t *ranked_ptr, const int32_t *ranked, int64_t n, int32_t depth,
                                  const int32_t *stage_of_position, int64_t *change)


cdef class Plan:
    """The immutable plan of one graph.

    Owns arrays by position: ``task_at``, ``in_degree``, the successors and the first position of every stage;
    beside them the inverse ``position_of``.  Holds the graph for its names and predecessors.  May be read, and
    run, from any number of threads at once.

    Raises ``ValueError`` if the graph has a cycle; `Graph.cycles` then names it.
    """

    def __cinit__(self, Graph graph not None):
        if graph.settle() == 0 or graph.unlisted():
            raise ValueError("the graph has duplicate or unlisted names; see Graph.duplicates and Graph.unlisted")
        graph.drop_leftover_names()
        # From here on a change needs a copy; said first, because other threads run while the arrays are read.
        graph.shared = True
        self.graph = graph
        self.n = graph.rows.n
        self.parallelism = -1
        self.wide = graph.rows.wide
        self.allocate()

    def __dealloc__(self):
        ps_free(self.task_at)
        ps_free(self.position_of)
        ps_free(self.in_degree)
        ps_free(self.successor_start)
        ps_free(self.successors)
        ps_free(self.stage_start)
        ps_free(self.stage_of_task)

    def __reduce__(self):
        raise TypeError("a Plan of the core cannot be pickled; pickle the ExecutionPlan")

    cdef int allocate(self) except -1:
        """Transpose, order, renumber; the one pass that also answers whether the graph is acyclic."""
        cdef Graph graph = self.graph
        cdef Py_ssize_t n = self.n
        cdef size_t width = sizeof(int64_t) if self.wide else sizeof(int32_t)
        cdef int64_t repeated, placed, where
        cdef int32_t depth = 0
        cdef void *start = NULL
        cdef int32_t *successors = NULL
        cdef int32_t *pending = NULL
        cdef int32_t *stage_start = NULL
        try:
            start = ps_alloc(n + 2, width)
            successors = <int32_t *> ps_alloc(graph.rows.m, sizeof(int32_t))
            if start == NULL or successors == NULL:
                raise MemoryError
            graph.trust()
            with nogil:
                repeated = transpose(graph.rows.indptr, graph.rows.indices, n, start, successors, self.wide)
            if repeated and not graph.distinct:
                graph.make_distinct()
                with nogil:
                    transpose(graph.rows.indptr, graph.rows.indices, n, start, successors, self.wide)
            graph.distinct = True
            self.m = graph.rows.m
            self.task_at = <int32_t *> ps_alloc(n, sizeof(int32_t))
            self.position_of = <int32_t *> ps_alloc(n, sizeof(int32_t))
            self.in_degree = <int32_t *> ps_alloc(n, sizeof(int32_t))
            self.successor_start = ps_alloc(n + 1, width)
            self.successors = <int32_t *> ps_alloc(self.m, sizeof(int32_t))
            stage_start = <int32_t *> ps_alloc(n + 1, sizeof(int32_t))
            pending = <int32_t *> ps_alloc(n, sizeof(int32_t))
            if (self.task_at == NULL or self.position_of == NULL or self.in_degree == NULL
                    or self.successor_start == NULL or self.successors == NULL or stage_start == NULL
                    or pending == NULL):
                raise MemoryError
            with nogil:
                if self.wide:
                    placed = ps_kahn_64(<int64_t *> graph.rows.indptr, <int64_t *> start, successors, n,
                                        self.task_at, self.position_of, self.in_degree,
                                        <int64_t *> self.successor_start, self.successors,
                                        stage_start, &depth, pending)
                else:
                    placed = ps_kahn_32(<int32_t *> graph.rows.indptr, <int32_t *> start, successors, n,
                                        self.task_at, self.position_of, self.in_degree,
                                        <int32_t *> self.successor_start, self.successors,
                                        stage_start, &depth, pending)
            if placed < n:
                raise ValueError("the graph has a cycle; see Graph.cycles")
            self.depth = depth
            # Few graphs have as many stages as tasks: keep what is used.
            self.stage_start = <int32_t *> ps_alloc(depth + 1, sizeof(int32_t))
            if self.stage_start == NULL:
                raise MemoryError
            memcpy(self.stage_start, stage_start, (depth + 1) * sizeof(int32_t))
        finally:
            ps_free(start)
            ps_free(successors)
            ps_free(pending)
            ps_free(stage_start)
        return 0

    # -- views ------------------------------------------------------------------------------------------

    @property
    def order(self):
        """Task index by position, a read-only int32 view."""
        return memoryview(Column.view(self, self.task_at, self.n, sizeof(int32_t), b"i"))

    @property
    def position(self):
        """Position by task index, a read-only int32 view."""
        return memoryview(Column.view(self, self.position_of, self.n, sizeof(int32_t), b"i"))

    @property
    def stage_of(self):
        """Stage by task index, a read-only int32 view."""
        self.need_stages()
        return memoryview(Column.view(self, self.stage_of_task, self.n, sizeof(int32_t), b"i"))

    @property
    def stage_starts(self):
        """First position of every stage, and behind the last the number of tasks; a read-only int32 view."""
        return memoryview(Column.view(self, self.stage_start, self.depth + 1, sizeof(int32_t), b"i"))

    @property
    def width(self):
        """Number of tasks in the largest stage."""
        cdef Py_ssize_t s, most = 0
        for s in range(self.depth):
            most = max(most, self.stage_start[s + 1] - self.stage_start[s])
        return most

    cdef int need_stages(self) except -1:
        """Fill ``stage_of_task`` on first use; two threads may both do it, and write the same."""
        cdef int32_t *stages
        cdef Py_ssize_t s, position
        if self.stage_of_task != NULL:
            return 0
        stages = <int32_t *> ps_alloc(self.n, sizeof(int32_t))
        if stages == NULL:
            raise MemoryError
        for s in range(self.depth):
            for position in range(self.stage_start[s], self.stage_start[s + 1]):
                stages[self.task_at[position]] = <int32_t> s
        self.stage_of_task = stages
        return 0

    def stage_members(self, Py_ssize_t stage):
        """Task indices of one stage, in the order the tasks were added."""
        cdef Py_ssize_t position
        if not 0 <= stage < self.depth:
            raise IndexError(f"stage {stage} is out of range for {self.depth} stages")
        return sorted([self.task_at[position]
                       for position in range(self.stage_start[stage], self.stage_start[stage + 1])])

    def successors_of(self, Py_ssize_t task):
        """Task indices of the direct dependents of one task, in the order they were added."""
        cdef int64_t e
        cdef Py_ssize_t position
        if not 0 <= task < self.n:
            raise IndexError(f"task index {task} is out of range for {self.n} tasks")
        position = self.position_of[task]
        return sorted([self.task_at[self.successors[e]]
                       for e in range(self.successor_from(position), self.successor_from(position + 1))])

    # -- questions ----------------------------------------------------------------------------------------

    @property
    def max_parallelism(self):
        """The most tasks in flight under staged execution (contract S45)."""
        cdef int64_t *change
        cdef int32_t *stages
        cdef Py_ssize_t s, position
        if self.parallelism >= 0:
            return self.parallelism
        change = <int64_t *> ps_alloc_zero(self.depth + 1, sizeof(int64_t))
        stages = <int32_t *> ps_alloc(self.n, sizeof(int32_t))
        try:
            if change == NULL or stages == NULL:
                raise MemoryError
            for s in range(self.depth):
                for position in range(self.stage_start[s], self.stage_start[s + 1]):
                    stages[position] = <int32_t> s
            if self.wide:
                self.parallelism = ps_max_parallelism_64(<int64_t *> self.successor_start, self.successors, self.n,
                                                         <int32_t> self.depth, stages, change)
            else:
                self.parallelism = ps_max_parallelism_32(<int32_t *> self.successor_start, self.successors, self.n,
                                                         <int32_t> self.depth, stages, change)
        finally:
            ps_free(change)
            ps_free(stages)
        return self.parallelism

    def critical_path(self, object durations):
        """Task indices along the longest path and its length; `durations` by task index, None counts 1 each."""
        cdef double *weight
        cdef double length = 0.0
        cdef Py_ssize_t task
        cdef list path = []
        if durations is not None and len(durations) != self.n:
            raise ValueError(f"{len(durations)} durations were given for {self.n} tasks")
        weight = <double *> ps_alloc(self.n, sizeof(double))
        if weight == NULL:
            raise MemoryError
        try:
            for task in range(self.n):
                weight[self.position_of[task]] = 1.0 if durations is None else durations[task]
            self.longest_path(weight, path, &length)
        finally:
            ps_free(weight)
        return path, length

    cdef int longest_path(self, double *weight, list path, double *length) except -1:
        cdef double *reach = <double *> ps_alloc(self.n, sizeof(double))
        cdef int32_t *via = <int32_t *> ps_alloc(self.n, sizeof(int32_t))
        cdef int64_t last
        try:
            if reach == NULL or via == NULL:
                raise MemoryError
            with nogil:
                if self.wide:
                    last = ps_longest_path_64(<int64_t *> self.successor_start, self.successors, self.n, weight,
                                              reach, via)
                else:
                    last = ps_longest_path_32(<int32_t *> self.successor_start, self.successors, self.n, weight,
                                              reach, via)
            if last >= 0:
                length[0] = reach[last] + weight[last]
            while last >= 0:
                path.append(self.task_at[last])
                last = via[last]
            path.reverse()
        finally:
            ps_free(reach)
            ps_free(via)
        return 0


cdef int64_t transpose(void *indptr, int32_t *indices, int64_t n, void *out_ptr, int32_t *out,
                       bint wide) noexcept nogil:
    if wide:
        return ps_transpose_64(<int64_t *> indptr, indices, n, n, <int64_t *> out_ptr, out)
    return ps_transpose_32(<int32_t *> indptr, indices, n, n, <int32_t *> out_ptr, out)
