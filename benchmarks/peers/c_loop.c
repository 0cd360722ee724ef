/* A plain C loop that does what planning from CSR arrays does, as one writes it on a good afternoon:
 * check the input, count, transpose, order by Kahn with stages, renumber tasks and successors in that order.
 * No prefetching, no huge pages, no packing, no threads.  It does not look for repeated edges. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NO_MEMORY = 1, BAD_INDPTR = 2, BAD_INDEX = 3, CYCLE = 4 };

typedef struct {
    int32_t n;
    int32_t n_stages;
    int64_t m;
    int32_t *order;      /* task at each position */
    int32_t *position;   /* position of each task */
    int32_t *stage;      /* stage of each task */
    int32_t *in_degree;  /* by position */
    int32_t *succ_start; /* by position, n + 1 */
    int32_t *succ;       /* positions */
} plan;

static int32_t *ints(int64_t count)
{
    return malloc((size_t)(count ? count : 1) * sizeof(int32_t));
}

void plan_free(plan *p)
{
    free(p->order);
    free(p->position);
    free(p->stage);
    free(p->in_degree);
    free(p->succ_start);
    free(p->succ);
    memset(p, 0, sizeof *p);
}

static int validate(int32_t n, int64_t m, const int32_t *indptr, const int32_t *indices)
{
    int32_t v;
    int64_t e;
    if (indptr[0] != 0 || indptr[n] != m)
        return BAD_INDPTR;
    for (v = 0; v < n; v++)
        if (indptr[v] > indptr[v + 1])
            return BAD_INDPTR;
    for (e = 0; e < m; e++)
        if (indices[e] < 0 || indices[e] >= n)
            return BAD_INDEX;
    return OK;
}

/* Rows of predecessors to rows of successors. */
static void transpose(int32_t n, const int32_t *indptr, const int32_t *indices, int32_t *start, int32_t *succ,
                      int32_t *next)
{
    int32_t v, e;
    memset(start, 0, ((size_t)n + 1) * sizeof(int32_t));
    for (e = 0; e < indptr[n]; e++)
        start[indices[e] + 1]++;
    for (v = 0; v < n; v++)
        start[v + 1] += start[v];
    memcpy(next, start, (size_t)n * sizeof(int32_t));
    for (v = 0; v < n; v++)
        for (e = indptr[v]; e < indptr[v + 1]; e++)
            succ[next[indices[e]]++] = v;
}

/* Returns how many tasks could be ordered. */
static int32_t kahn(int32_t n, const int32_t *indptr, const int32_t *start, const int32_t *succ, int32_t *pending,
                    int32_t *order, int32_t *stage)
{
    int32_t v, e, head, tail = 0;
    for (v = 0; v < n; v++) {
        pending[v] = indptr[v + 1] - indptr[v];
        if (pending[v] == 0) {
            stage[v] = 0;
            order[tail++] = v;
        }
    }
    for (head = 0; head < tail; head++) {
        int32_t u = order[head];
        for (e = start[u]; e < start[u + 1]; e++) {
            int32_t w = succ[e];
            if (--pending[w] == 0) {
                stage[w] = stage[u] + 1;
                order[tail++] = w;
            }
        }
    }
    return tail;
}

static void renumber(plan *p, const int32_t *indptr, const int32_t *start, const int32_t *succ)
{
    int32_t i, e, at = 0;
    for (i = 0; i < p->n; i++)
        p->position[p->order[i]] = i;
    for (i = 0; i < p->n; i++) {
        int32_t u = p->order[i];
        p->in_degree[i] = indptr[u + 1] - indptr[u];
        p->succ_start[i] = at;
        for (e = start[u]; e < start[u + 1]; e++)
            p->succ[at++] = p->position[succ[e]];
    }
    p->succ_start[p->n] = at;
}

int plan_build(int32_t n, int64_t m, const int32_t *indptr, const int32_t *indices, plan *p)
{
    int32_t *start, *succ, *scratch;
    int result = validate(n, m, indptr, indices);
    memset(p, 0, sizeof *p);
    if (result != OK)
        return result;
    p->n = n;
    p->m = m;
    p->order = ints(n);
    p->position = ints(n);
    p->stage = ints(n);
    p->in_degree = ints(n);
    p->succ_start = ints((int64_t)n + 1);
    p->succ = ints(m);
    start = ints((int64_t)n + 1);
    succ = ints(m);
    scratch = ints(n);
    if (!p->order || !p->position || !p->stage || !p->in_degree || !p->succ_start || !p->succ || !start || !succ
        || !scratch) {
        result = NO_MEMORY;
    } else {
        transpose(n, indptr, indices, start, succ, scratch);
        if (kahn(n, indptr, start, succ, scratch, p->order, p->stage) < n) {
            result = CYCLE;
        } else {
            p->n_stages = n ? p->stage[p->order[n - 1]] + 1 : 0;
            renumber(p, indptr, start, succ);
        }
    }
    free(start);
    free(succ);
    free(scratch);
    if (result != OK)
        plan_free(p);
    return result;
}
