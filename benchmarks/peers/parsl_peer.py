"""Parsl with its executor of threads: every app is called with the futures it depends on."""

from importlib.util import find_spec
from tempfile import TemporaryDirectory

label = "Parsl"
missing = None if find_spec("parsl") else "Parsl is not installed (pip install parsl)"
takes = "functions"
most = 10**3

folder = None  # while Parsl is loaded


def build(mapping):
    global folder
    if folder is None:
        import parsl
        from parsl.config import Config
        from parsl.executors.threads import ThreadPoolExecutor

        folder = TemporaryDirectory(prefix="penstock-parsl-")
        parsl.load(Config([ThreadPoolExecutor()], run_dir=folder.name, initialize_logging=False, strategy="none"))
    return mapping


def run(mapping, function):
    from parsl import python_app

    @python_app
    def task(*dependencies, name):
        return function(name)

    futures = {}
    for name, dependencies in mapping.items():
        futures[name] = task(*[futures[dependency] for dependency in dependencies], name=name)
    return {name: future.result() for name, future in futures.items()}


def close():
    global folder
    if folder is not None:
        import parsl

        parsl.dfk().cleanup()
        parsl.clear()
        folder.cleanup()
        folder = None
