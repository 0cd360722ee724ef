"""radical.asyncflow's engine with its local backend: every task is submitted with the futures it depends on."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

label = "asyncflow"
missing = None
try:
    found = find_spec("radical.asyncflow")
except ModuleNotFoundError:
    found = None
if found is None:
    missing = "radical.asyncflow is not installed (pip install radical.asyncflow)"
takes = "coroutines"
most = 10**3


def build(mapping):
    return mapping


async def run(mapping, function):
    from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

    flow = await WorkflowEngine.create(backend=await LocalExecutionBackend(ThreadPoolExecutor()))

    @flow.function_task
    async def task(name, *dependencies):
        return await function(name)

    futures = {}
    for name, dependencies in mapping.items():
        futures[name] = task(name, *[futures[dependency] for dependency in dependencies])
    results = {name: await future for name, future in futures.items()}
    await flow.shutdown()
    return results
