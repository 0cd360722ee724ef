"""Ray on this machine alone: every task is submitted with the references it depends on."""

import os
from importlib.util import find_spec
from pathlib import Path

label = "Ray"
missing = None if find_spec("ray") else "Ray is not installed (pip install ray)"
takes = "functions"
most = 10**2


def build(mapping):
    import ray

    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # The workers import the functions from here.
        environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])}}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", runtime_env=environment)
    return mapping


def run(mapping, function):
    import ray

    @ray.remote
    def task(name, *dependencies):
        return function(name)

    references = {}
    for name, dependencies in mapping.items():
        references[name] = task.remote(name, *[references[dependency] for dependency in dependencies])
    return dict(zip(references, ray.get(list(references.values())), strict=True))


def close():
    import ray

    ray.shutdown()
