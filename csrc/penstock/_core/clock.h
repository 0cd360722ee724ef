/* The clocks of a run: monotonic seconds, read once per task, so without a detour through Python. */
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

/* Seconds since 1970; the system counts 100 ns since 1601. */
static inline double ps_wall_clock(void)
{
    FILETIME now;
    ULARGE_INTEGER count;
    GetSystemTimeAsFileTime(&now);
    count.LowPart = now.dwLowDateTime;
    count.HighPart = now.dwHighDateTime;
    return (double)count.QuadPart * 1e-7 - 11644473600.0;
}
#else
#include <time.h>
static inline double ps_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline double ps_wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
#endif

#endif
