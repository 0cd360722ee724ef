/* Searches along rows that answer what networkx asks: orders, cycles, redundant edges.
 *
 * They follow the rows in the order in which these list their entries, because networkx's results depend on
 * it.  Iterative, without Python, without allocation: the caller brings the scratch arrays.
 */
#ifndef PENSTOCK_SEARCH_H
#define PENSTOCK_SEARCH_H

#include "rows.h"

/* Kahn's order along rows of successors, first come first served, one generation after the other.
 *
 * Writes the rows to `order` and the first position of each generation to `start` (n + 1 entries; the last one
 * is the number of rows placed).  `pending` is scratch of n zeroed counters.  Returns the number of generations;
 * rows on or behind a cycle are not placed. */
static int64_t ps_generations(const ps_rows *rows, int32_t *order, int32_t *start, int32_t *pending)
{
    int64_t n = rows->n, u, e, head = 0, tail = 0, generations = 0;
    for (e = 0; e < rows->m; e++)
        pending[rows->indices[e]]++;
    for (u = 0; u < n; u++) {
        if (pending[u] == 0)
            order[tail++] = (int32_t)u;
    }
    while (head < tail) {
        int64_t end = tail;
        start[generations++] = (int32_t)head;
        for (; head < end; head++) {
            u = order[head];
            for (e = ps_row_start(rows, u); e < ps_row_start(rows, u + 1); e++) {
                if (--pending[rows->indices[e]] == 0)
                    order[tail++] = rows->indices[e];
            }
        }
    }
    start[generations] = (int32_t)tail;
    return generations;
}

/* Depth first along the rows from `start` until an entry leads back to the path.
 *
 * `state` has n bytes: 0 not met, 1 on the path, 2 done; what is done stays so from call to call.  `path` (n
 * entries) gets the rows from `start` on; `edge` (n entries) is scratch.  Returns the length of the path, whose
 * rows from *back on are the cycle, or 0 if there is none. */
static int64_t ps_find_cycle(const ps_rows *rows, int32_t start, uint8_t *state, int32_t *path, int64_t *edge,
                             int64_t *back)
{
    int64_t depth = 0;
    if (state[start])
        return 0;
    path[0] = start;
    edge[0] = ps_row_start(rows, start);
    state[start] = 1;
    while (depth >= 0) {
        int32_t u = path[depth];
        if (edge[depth] < ps_row_start(rows, (int64_t)u + 1)) {
            int32_t w = rows->indices[edge[depth]++];
            if (state[w] == 1) {
                for (*back = depth; path[*back] != w; --*back)
                    ;
                return depth + 1;
            }
            if (state[w] == 0) {
                state[w] = 1;
                path[++depth] = w;
                edge[depth] = ps_row_start(rows, w);
            }
        } else {
            state[u] = 2;
            depth--;
        }
    }
    return 0;
}

static int ps_descending(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a < b) - (a > b);
}

/* Leave out of every row what another entry of it leads to anyway.
 *
 * `order` lists all rows so that the entries of a row come before it, `rank` is its inverse.  What is kept of
 * row v goes to out[start of row v ...], with the count in kept[v].  A row is searched for along rows that were reduced
 * before it, and only down to its entry of least rank, so a dense graph costs far less than rows times edges.
 * `mark` (n entries of -1), `stack` and `sorted` (n entries each) are scratch.  Returns the number of edges kept. */
static int64_t ps_reduce(const ps_rows *rows, const int32_t *order, const int32_t *rank, int32_t *out, int32_t *kept,
                         int32_t *mark, int32_t *stack, int32_t *sorted)
{
    int64_t position, total = 0;
    for (position = 0; position < rows->n; position++) {
        int32_t v = order[position], least;
        int64_t begin = ps_row_start(rows, v), end = ps_row_start(rows, (int64_t)v + 1), length = end - begin, e, i;
        for (e = begin; e < end; e++)
            sorted[e - begin] = rank[rows->indices[e]];
        if (length > 1)
            qsort(sorted, (size_t)length, sizeof(int32_t), ps_descending);
        /* Only what stands higher can lead to an entry, so the highest is kept, and nothing is left to find below
         * the lowest. */
        for (i = 0; i + 1 < length; i++) {
            int64_t top = 0;
            if (mark[order[sorted[i]]] == v)
                continue;
            least = sorted[length - 1];
            stack[top++] = order[sorted[i]];
            while (top > 0) {
                int32_t u = stack[--top];
                int64_t first = ps_row_start(rows, u);
                for (e = first; e < first + kept[u]; e++) {
                    int32_t w = out[e];
                    if (rank[w] >= least && mark[w] != v) {
                        mark[w] = v;
                        stack[top++] = w;
                    }
                }
            }
        }
        kept[v] = 0;
        for (e = begin; e < end; e++) {
            if (mark[rows->indices[e]] != v)
                out[begin + kept[v]++] = rows->indices[e];
        }
        total += kept[v];
    }
    return total;
}

#endif
