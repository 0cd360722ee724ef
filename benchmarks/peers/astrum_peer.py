"""astrum's scheduler, planned beforehand as far as it lets one."""

from importlib.util import find_spec

label = "astrum"
missing = None if find_spec("astrum") else "astrum is not installed (pip install astrum)"
takes = "coroutines"
most = 10**3


def build(mapping):
    from astrum import TaskOrder

    orders = {}
    for name, dependencies in mapping.items():
        orders[name] = TaskOrder(name, [orders[dependency] for dependency in dependencies])
    return orders


async def run(orders, function):
    from functools import partial

    from astrum import DynamicScheduler

    scheduler = DynamicScheduler([(name, partial(function, name)) for name in orders], list(orders.values()))
    report = await scheduler.execute()
    return report.task_return_set
