"""A script that is interrupted: it says when its run has begun, and afterwards what its last report has.

python interrupted_script.py loop|threads|plain
"""

import asyncio
import json
import sys
import threading
import time

from penstock import DynamicScheduler, TaskOrder

N = 2_000


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def on_the_loop():
    await asyncio.sleep(0.01)


def blocking():
    time.sleep(0.002)


FUNCTIONS = {"loop": on_the_loop, "threads": blocking, "plain": blocking}


def main(kind):
    orders = [TaskOrder(str(number)) for number in range(10)]
    for number in range(10, N):
        orders.append(TaskOrder(str(number), orders[number - 10 : number - 8]))
    begun = [False]

    def first():
        if not begun[0]:
            begun[0] = True
            say("begun")

    function = FUNCTIONS[kind]
    tasks = [(order.task_name, function) for order in orders]
    tasks[0] = ("0", first)
    options = {"sync_in": "thread"} if kind == "threads" else {}
    scheduler = DynamicScheduler(tasks, orders, **options)
    try:
        scheduler.execute_sync()
    except KeyboardInterrupt:
        report = scheduler.last_report
        counts = [report.successful_tasks, report.failed_tasks, report.cancelled_tasks, report.skipped_tasks]
        threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        say(json.dumps({"state": report.execution_state, "counts": counts, "threads": threads}))
        sys.exit(130)
    say("not interrupted")


main(sys.argv[1])
