"""Measure what a graph and its plan add to the memory of this process; one measurement per process.

    python benchmarks/footprint.py TASKS DEPENDENCIES_EACH VARIANT

prints one JSON object.  The figure is the growth of anonymous resident memory, read from the kernel after
freed memory was given back, so nothing escapes it by allocating past Python's or libc's accounting.  Small
objects could hide in gaps that were resident before, so the growth in their number is told as well.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

SMAPS = Path("/proc/self/smaps_rollup")
missing = None if SMAPS.exists() else "resident memory is read from /proc/self/smaps_rollup, which is not here"


def measured(n: int, n_dependencies: int, variant: str) -> dict[str, int]:
    """Return the figures of one measurement made in a process of its own."""
    # libc raises the size from which it asks the kernel for memory of its own as it goes, and then keeps what
    # is freed; with a size that is set it gives every large block back.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, str(n), str(n_dependencies), variant]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def bytes_per_task_and_edge(n: int, variant: str) -> tuple[float, float]:
    """Return what a task and what an edge costs, from two graphs that differ in their edges only."""
    few, many = (measured(n, each, variant) for each in (1, 5))
    per_edge = (many["bytes"] - few["bytes"]) / (many["edges"] - few["edges"])
    return (few["bytes"] - per_edge * few["edges"]) / n, per_edge


def main(n: int, n_dependencies: int, variant: str) -> None:
    import penstock
    from penstock.testing import shapes

    def planned(mapping):
        graph = penstock.TaskGraph.from_predecessors(mapping)
        plan = graph.plan()
        # Whatever is made on first use belongs to the footprint, above all the index of names.
        name = next(reversed(mapping))
        assert (name + " ")[:-1] in graph
        assert sorted(graph.dependencies_of(name)) == sorted(mapping[name])
        assert max(plan.stage_of) + 1 == len(plan.stages)
        return graph, plan

    kept = planned({"first": [], "second": ["first"]})  # imports done, caches filled
    mapping = shapes.layered(n, n_dependencies=n_dependencies)
    if variant.endswith("separate"):
        mapping = shapes.with_separate_strings(mapping)
    if variant.startswith("shuffled"):
        mapping = shapes.shuffled(mapping)
    blocks, before = sys.getallocatedblocks(), resident()
    kept = planned(mapping)
    after = resident()
    figures = {
        "tasks": len(kept[0]),
        "edges": kept[0].n_dependencies,
        "bytes": after - before,
        "new_objects": sys.getallocatedblocks() - blocks,
    }
    print(json.dumps(figures))


def resident() -> int:
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    return int(re.search(r"^Anonymous:\s+(\d+) kB", SMAPS.read_text(), re.MULTILINE)[1]) * 1024


if __name__ == "__main__":
    main(int(float(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
