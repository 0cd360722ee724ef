"""A clean run is silent, with every warning an error and asyncio in debug mode, and leaves nothing behind."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, gc, logging, os, sys, tempfile, threading

logging.getLogger("penstock").addHandler(logging.StreamHandler())
logging.getLogger().setLevel(logging.INFO)
logging.basicConfig(level=logging.INFO)

import penstock
import penstock.testing.shapes as shapes

threads, files = set(threading.enumerate()), set(os.listdir("."))

async def suspending(name):
    await asyncio.sleep(0)
    return name

async def coroutine(name):
    return name

def fails(name):
    if name.endswith("7"):
        raise ValueError(name)

async def waits(name):
    await asyncio.get_running_loop().create_future()

async def main():
    for body in (str, coroutine, suspending):
        report = await plan.run(body, max_concurrency=3)
        assert report.execution_state == "completed", report.error_summary
    for body in (fails, lambda name: coroutine(fails(name))):
        assert (await plan.run(body)).execution_state == "failed"
    run = plan.start(waits)
    await asyncio.sleep(0)
    run.cancel()
    try:
        await run
    except asyncio.CancelledError:
        pass
    assert not asyncio.all_tasks() - {asyncio.current_task()}
    return report

plan = penstock.TaskGraph.from_predecessors(shapes.layered(100)).plan()
for debug in (False, True):
    report = asyncio.run(main(), debug=debug)
assert plan.run_sync(suspending, progress=True).successful_tasks == 100
assert plan.run_sync(fails, failure_policy="continue").failed_tasks
report.summary(), report.to_json(), report.to_dict()
del report
gc.collect()
assert set(threading.enumerate()) == threads
assert set(os.listdir(".")) == files
assert not gc.garbage
print("done")
"""


@pytest.mark.parametrize("flags", [["-W", "error", "-X", "dev"], ["-W", "error", "-X", "dev", "-O"], []])
def test_runs_write_nothing_to_stderr_and_leave_nothing_behind(flags, tmp_path):
    command = [sys.executable, *flags, "-c", SCRIPT]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (ended.stderr, ended.stdout, ended.returncode) == ("", "done\n", 0)
