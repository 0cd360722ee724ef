"""Hamilton's driver: a module of functions whose parameters are called like what they depend on.

It walks through the graph by recursion, so a deep graph is beyond it.
"""

import inspect
from importlib.util import find_spec

label = "Hamilton"
missing = None if find_spec("hamilton") else "Hamilton is not installed (pip install apache-hamilton)"
takes = "functions"
most = 10**3


def build(mapping):
    return mapping


def prepare(mapping, function):
    """Make the functions and the driver, which takes much longer than running them."""
    from hamilton import ad_hoc_utils, driver

    functions = []
    for name, dependencies in mapping.items():

        def task(*, _name=name, **ignored):
            return function(_name)

        task.__name__ = task.__qualname__ = identifier(name)
        task.__signature__ = inspect.Signature(
            [
                inspect.Parameter(identifier(each), inspect.Parameter.KEYWORD_ONLY, annotation=str)
                for each in dependencies
            ],
            return_annotation=str,
        )
        task.__annotations__ = {identifier(each): str for each in dependencies} | {"return": str}
        functions.append(task)
    module = ad_hoc_utils.create_temporary_module(*functions)
    return list(mapping), driver.Builder().with_modules(module).build()


def run(prepared, function):
    names, driver = prepared
    results = driver.execute([identifier(name) for name in names])
    return {name: results[identifier(name)] for name in names}


def identifier(name):
    return name.replace("-", "_")
