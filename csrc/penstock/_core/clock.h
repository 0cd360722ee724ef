/* The clock of a run: monotonic seconds, read once per task, so without a detour through Python. */
#ifndef PENSTOCK_CLOCK_H
#define PENSTOCK_CLOCK_H

#if defined(_WIN32)
#include <windows.h>
static inline double ps_monotonic(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart / (double)frequency.QuadPart;
}
#else
#include <time.h>
static inline double ps_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
#endif

#endif
