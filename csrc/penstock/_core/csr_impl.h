/* Algorithms on compressed sparse rows, written once for both widths of row pointers.
 *
 * Included twice by csr.h, with PTR (int32_t or int64_t) and NAME(x) (x##_32 or x##_64) defined.
 *
 * A graph of n tasks and m edges in CSR form; here the predecessors of the diamond a -> b, a -> c, b -> d, c -> d:
 *
 *      task      a   b   c   d
 *    indptr      0   0   1   2   4     row i is indices[indptr[i] : indptr[i + 1]]
 *    indices     0   0   1   2         (none) | a | a | b c
 *
 * All loops are iterative, none allocates, none touches Python: they may run without the GIL.  The random
 * accesses are announced some iterations ahead (PS_PREFETCH), which is worth more than everything else here
 * once the arrays outgrow the cache.
 */

/* Check rows that came from outside before anything indexes with them.
 * Returns 0, or one of the PS_BAD_ codes with the row or the edge in *where. */
static int NAME(ps_check)(const PTR *indptr, const int32_t *indices, int64_t n, int64_t m, int64_t *where)
{
    int64_t i, e;
    uint32_t bound = (uint32_t)n, worst = 0;
    if (indptr[0] != 0) {
        *where = 0;
        return PS_BAD_START;
    }
    for (i = 0; i < n; i++) {
        if (PS_UNLIKELY(indptr[i + 1] < indptr[i])) {
            *where = i;
            return PS_BAD_ORDER;
        }
    }
    if (indptr[n] != m) {
        *where = indptr[n];
        return PS_BAD_END;
    }
    /* A maximum instead of a test per edge lets the compiler use vectors; negative numbers come out large. */
    for (e = 0; e < m; e++) {
        uint32_t index = (uint32_t)indices[e];
        worst = index > worst ? index : worst;
    }
    if (m > 0 && worst >= bound) {
        for (e = 0; (uint32_t)indices[e] < bound; e++)
            ;
        *where = e;
        return PS_BAD_INDEX;
    }
    return 0;
}

/* Turn rows of predecessors into rows of successors (or the other way round).
 *
 * The result has `n_out` rows, more than any entry of `indices`.  `out_ptr` has n_out + 2 entries, of which the
 * first n_out + 1 are the result; `out` has as many as there are edges.  Row u of the result
 * lists the rows that name u in ascending order.
 *
 * Returns 0 if no edge stands twice in one row.  As rows are read in order, a repeated edge lands right behind
 * its twin, so one comparison per edge tells.  The entry compared may be one not written yet, so a result
 * above 0 is a suspicion: the caller then looks exactly (ps_distinct). */
static int64_t NAME(ps_transpose)(const PTR *indptr, const int32_t *indices, int64_t n, int64_t n_out, PTR *out_ptr,
                                  int32_t *out)
{
    const int64_t far = 48, near = 24;
    int64_t m = indptr[n], v, e, repeated = 0;
    PTR *cursor = out_ptr + 1; /* cursor[u] moves from the start of row u to its end = the start of row u + 1 */

    memset(out_ptr, 0, (size_t)(n_out + 2) * sizeof(PTR));
    for (e = 0; e + far < m; e++) {
        PS_PREFETCH_WRITE(&out_ptr[indices[e + far] + 2]);
        out_ptr[indices[e] + 2]++;
    }
    for (; e < m; e++)
        out_ptr[indices[e] + 2]++;
    for (v = 0; v < n_out; v++)
        out_ptr[v + 2] += out_ptr[v + 1];

    for (v = 0, e = 0; v < n; v++) {
        for (; e < indptr[v + 1]; e++) {
            PTR at;
            if (PS_LIKELY(e + far < m)) {
                PS_PREFETCH_WRITE(&cursor[indices[e + far]]);
                PS_PREFETCH_WRITE(&out[cursor[indices[e + near]]]);
            }
            at = cursor[indices[e]]++;
            if (PS_UNLIKELY(at > out_ptr[indices[e]] && out[at - 1] == (int32_t)v))
                repeated++;
            out[at] = (int32_t)v;
        }
    }
    return repeated;
}

/* Copy rows without their repeated entries, keeping the first of each; `seen` has n entries of -1.
 * The result may be written over its input.  Returns the number of edges kept. */
static int64_t NAME(ps_distinct)(const PTR *indptr, const int32_t *indices, int64_t n, PTR *out_ptr, int32_t *out,
                                 int32_t *seen)
{
    int64_t v, e, end, begin = 0, kept = 0;
    for (v = 0; v < n; v++) {
        end = indptr[v + 1];
        for (e = begin; e < end; e++) {
            int32_t u = indices[e];
            if (seen[u] != (int32_t)v) {
                seen[u] = (int32_t)v;
                out[kept++] = u;
            }
        }
        begin = end;
        out_ptr[v + 1] = (PTR)kept;
    }
    out_ptr[0] = 0;
    return kept;
}

/* Kahn's order, first come first served: the heart of planning.
 *
 * Reads the predecessors (only the lengths of their rows) and the successors; writes
 *
 *   order[r]        the task that becomes ready as number r, its position; tasks of one stage stand together, since
 *                   whatever a stage makes ready belongs to the next one
 *   rank[i]         the inverse: the position of task i
 *   in_degree[r]    number of predecessors, by position
 *   ranked_ptr/ranked   the successors, rows and entries by position
 *   stage_start[s]  first position of stage s; stage_start[depth] = n
 *
 * `pending` is scratch for n counters.  Returns how many tasks got a position: fewer than n means a cycle, and
 * then only `order` and `pending` have a meaning. */
static int64_t NAME(ps_kahn)(const PTR *pred_ptr, const PTR *succ_ptr, const int32_t *succ, int64_t n,
                             int32_t *order, int32_t *rank, int32_t *in_degree, PTR *ranked_ptr, int32_t *ranked,
                             int32_t *stage_start, int32_t *depth, int32_t *pending)
{
    int64_t v, head, tail = 0, stage_end, written = 0, stages = 0;

    for (v = 0; v < n; v++) {
        pending[v] = (int32_t)(pred_ptr[v + 1] - pred_ptr[v]);
        if (pending[v] == 0)
            order[tail++] = (int32_t)v;
    }
    stage_end = 0;
    for (head = 0; head < tail; head++) {
        int32_t u = order[head];
        PTR e, end = succ_ptr[u + 1];
        if (head == stage_end) {
            stage_start[stages++] = (int32_t)head;
            stage_end = tail;
        }
        if (PS_LIKELY(head + 24 < tail)) {
            PTR ahead;
            PS_PREFETCH(&succ_ptr[order[head + 24]]);
            PS_PREFETCH(&pred_ptr[order[head + 24]]);
            ahead = succ_ptr[order[head + 16]];
            PS_PREFETCH(&succ[ahead]);
            PS_PREFETCH(&succ[ahead + 8 < succ_ptr[n] ? ahead + 8 : ahead]);
            ahead = succ_ptr[order[head + 8]];
            if (ahead < succ_ptr[order[head + 8] + 1]) {
                PTR last = succ_ptr[order[head + 8] + 1];
                if (last > ahead + 8)
                    last = ahead + 8;
                for (; ahead < last; ahead++)
                    PS_PREFETCH_WRITE(&pending[succ[ahead]]);
            }
        }
        rank[u] = (int32_t)head;
        in_degree[head] = (int32_t)(pred_ptr[u + 1] - pred_ptr[u]);
        ranked_ptr[head] = (PTR)written;
        for (e = succ_ptr[u]; e < end; e++) {
            int32_t w = succ[e];
            ranked[written++] = w;
            if (--pending[w] == 0)
                order[tail++] = w;
        }
    }
    if (tail < n)
        return tail;
    ranked_ptr[n] = (PTR)written;
    stage_start[stages] = (int32_t)n;
    *depth = (int32_t)stages;
    /* Only now does every task have a position, so the entries are renumbered in a pass of their own: it
     * reads and writes in sequence and misses on `rank` alone. */
    for (v = 0; v + 48 < written; v++) {
        PS_PREFETCH(&rank[ranked[v + 48]]);
        ranked[v] = rank[ranked[v]];
    }
    for (; v < written; v++)
        ranked[v] = rank[ranked[v]];
    return n;
}

/* Longest path by duration.  `ranked` as written by ps_kahn, `weight` by position; `reach` (n doubles, the
 * latest end of any predecessor) and `via` (n indices, which one it was, -1 for none) are filled.
 * Returns the position at which the longest path ends, -1 for an empty graph. */
static int64_t NAME(ps_longest_path)(const PTR *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                                     double *reach, int32_t *via)
{
    int64_t r, last = -1;
    PTR e;
    double longest = 0.0;
    for (r = 0; r < n; r++) {
        reach[r] = 0.0;
        via[r] = -1;
    }
    for (r = 0; r < n; r++) {
        double end = reach[r] + weight[r];
        if (last < 0 || end > longest) {
            longest = end;
            last = r;
        }
        for (e = ranked_ptr[r]; e < ranked_ptr[r + 1]; e++) {
            int32_t w = ranked[e];
            if (via[w] < 0 || end > reach[w]) {
                reach[w] = end;
                via[w] = (int32_t)r;
            }
        }
    }
    return last;
}

/* Longest remaining path: from the start of each task to the end of the last one that follows from it. */
static void NAME(ps_remaining)(const PTR *ranked_ptr, const int32_t *ranked, int64_t n, const double *weight,
                               double *remaining)
{
    int64_t r;
    PTR e;
    for (r = n - 1; r >= 0; r--) {
        double most = 0.0;
        for (e = ranked_ptr[r]; e < ranked_ptr[r + 1]; e++)
            most = remaining[ranked[e]] > most ? remaining[ranked[e]] : most;
        remaining[r] = most + weight[r];
    }
}

/* The largest number of tasks that a staged run would have in flight: in stage s those are the tasks begun by
 * then that no task of a stage up to s depends on.  `change` has depth + 1 zeroed entries. */
static int64_t NAME(ps_max_parallelism)(const PTR *ranked_ptr, const int32_t *ranked, int64_t n, int32_t depth,
                                        const int32_t *stage_of_position, int64_t *change)
{
    int64_t r, now = 0, most = 0;
    int32_t s;
    PTR e;
    for (r = 0; r < n; r++) {
        int32_t first = depth;
        for (e = ranked_ptr[r]; e < ranked_ptr[r + 1]; e++)
            first = stage_of_position[ranked[e]] < first ? stage_of_position[ranked[e]] : first;
        change[stage_of_position[r]]++;
        change[first]--;
    }
    for (s = 0; s < depth; s++) {
        now += change[s];
        most = now > most ? now : most;
    }
    return most;
}

/* Everything reachable from the first `count` entries of `found`, which are kept; `mark` has n zeroed bytes.
 * Entries from n on are names that are no tasks.  Returns how many are found in all. */
static int64_t NAME(ps_reachable)(const PTR *indptr, const int32_t *indices, int64_t n, int64_t count,
                                  int32_t *found, uint8_t *mark)
{
    int64_t head;
    PTR e;
    for (head = 0; head < count; head++)
        mark[found[head]] = 1;
    for (head = 0; head < count; head++) {
        int32_t u = found[head];
        for (e = indptr[u]; e < indptr[u + 1]; e++) {
            if (indices[e] < n && !mark[indices[e]]) {
                mark[indices[e]] = 1;
                found[count++] = indices[e];
            }
        }
    }
    return count;
}

/* Strongly connected components by Tarjan's algorithm with a stack of its own.
 *
 * `component` gets a number per task; `low`, `stack`, `path` and `edge` are scratch of n entries each.
 * Components are numbered in the order they close.  Returns how many there are. */
static int64_t NAME(ps_components)(const PTR *indptr, const int32_t *indices, int64_t n, int32_t *component,
                                   int32_t *low, int32_t *stack, int32_t *path, PTR *edge)
{
    int64_t root, depth, top = 0, count = 0;
    int32_t next = 1;
    for (root = 0; root < n; root++) {
        component[root] = -1;
        low[root] = 0; /* 0 = not met; else 1 + order of meeting, lowered to the oldest task it reaches */
    }
    for (root = 0; root < n; root++) {
        if (low[root])
            continue;
        depth = 0;
        path[0] = (int32_t)root;
        edge[root] = indptr[root];
        /* `component` holds -1 - (order of meeting) while a task is on the stack. */
        component[root] = -1 - next;
        low[root] = next++;
        stack[top++] = (int32_t)root;
        while (depth >= 0) {
            int32_t u = path[depth];
            if (edge[u] < indptr[u + 1]) {
                int32_t w = indices[edge[u]++];
                if (w >= n)
                    continue; /* a name that is no task */
                if (!low[w]) {
                    component[w] = -1 - next;
                    low[w] = next++;
                    stack[top++] = w;
                    edge[w] = indptr[w];
                    path[++depth] = w;
                } else if (component[w] < 0 && low[w] < low[u]) {
                    low[u] = low[w];
                }
                continue;
            }
            if (low[u] == -1 - component[u]) {
                int32_t w;
                do {
                    w = stack[--top];
                    component[w] = (int32_t)count;
                } while (w != u);
                count++;
            }
            depth--;
            if (depth >= 0 && low[u] < low[path[depth]])
                low[path[depth]] = low[u];
        }
    }
    return count;
}

/* A shortest cycle through `start` that stays inside its component.
 *
 * Searches breadth first; `parent` has n entries of -1 (restored by the caller), `queue` n entries.
 * Writes the cycle to `cycle` as start, ..., last (each an edge of the rows, last -> start closing it) and
 * returns its length, 0 if there is none. */
static int64_t NAME(ps_short_cycle)(const PTR *indptr, const int32_t *indices, int64_t n, const int32_t *component,
                                    int32_t start, int32_t *parent, int32_t *queue, int64_t *met, int32_t *cycle)
{
    int64_t head = 0, tail = 0, length = 0, i;
    PTR e;
    queue[tail++] = start;
    parent[start] = start;
    while (head < tail) {
        int32_t u = queue[head++];
        for (e = indptr[u]; e < indptr[u + 1]; e++) {
            int32_t w = indices[e];
            if (w == start) {
                while (u != start) {
                    cycle[length++] = u;
                    u = parent[u];
                }
                cycle[length++] = start;
                for (i = 0; i < length / 2; i++) {
                    int32_t other = cycle[i];
                    cycle[i] = cycle[length - 1 - i];
                    cycle[length - 1 - i] = other;
                }
                *met = tail;
                return length;
            }
            if (w < n && component[w] == component[start] && parent[w] < 0) {
                parent[w] = u;
                queue[tail++] = w;
            }
        }
    }
    *met = tail;
    return 0;
}
