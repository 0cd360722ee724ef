"""Measure what running a graph adds to the memory of this process; one measurement per process.

    python benchmarks/run_footprint.py results TASKS    bytes per task of a run whose results are all kept
    python benchmarks/run_footprint.py again TASKS      resident bytes after each of ten runs
    python benchmarks/run_footprint.py peak TASKS       the most that planning and running from arrays ever held

prints one JSON object.  The bodies return the name they are given, so the values take no memory of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import resource
import subprocess
import sys

import bodies
import footprint

missing = footprint.missing


def measured(what: str, n: int) -> dict[str, object]:
    """Return the figures of one measurement made in a process of its own."""
    # See footprint.py: without it libc keeps what is freed, and hides it from us.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    if what != "results":
        environment = dict(os.environ)  # as in real life
    command = [sys.executable, __file__, what, str(n)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


async def results(n: int) -> dict[str, object]:
    plan = layered(n)
    await layered(10).run(bodies.named)  # imports done, caches filled
    blocks, before = sys.getallocatedblocks(), footprint.resident()
    report = await plan.run(bodies.named)
    after = footprint.resident()
    assert report.successful_tasks == n
    return {
        "tasks": n,
        "bytes": after - before,
        "bytes_per_task": (after - before) / n,
        "new_objects": sys.getallocatedblocks() - blocks,
    }


async def again(n: int) -> dict[str, object]:
    plan = layered(n)
    found = []
    for _ in range(10):
        report = await plan.run(bodies.named)
        assert report.successful_tasks == n
        gc.collect()
        found.append(resident())
        del report
    return {"tasks": n, "resident": found, "growth": found[-1] / found[0] - 1}


async def peak(n: int) -> dict[str, object]:
    import penstock
    from penstock.testing import shapes

    arrays = shapes.layered_csr(n)
    before = most()
    report = await penstock.TaskGraph.from_arrays(*arrays).plan().run(bodies.nothing, keep_results="none")
    assert report.successful_tasks == n
    return {"tasks": n, "edges": len(arrays[1]), "peak": most(), "peak_of_making_the_arrays": before}


def layered(n: int):
    import penstock
    from penstock.testing import shapes

    return penstock.TaskGraph.from_predecessors(shapes.layered(n)).plan()


def resident() -> int:
    """Return what is resident just now, what libc holds back for later use included."""
    return int(re.search(r"^Rss:\s+(\d+) kB", footprint.SMAPS.read_text(), re.MULTILINE)[1]) * 1024


def most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    measurement = {"results": results, "again": again, "peak": peak}[sys.argv[1]]
    print(json.dumps(asyncio.run(measurement(int(float(sys.argv[2]))))))
