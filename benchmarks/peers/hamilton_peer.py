"""Hamilton's driver: functions whose parameters are called like the tasks they depend on.

It walks through the graph by recursion, so a deep graph is beyond it.
"""

from importlib.util import find_spec
from inspect import Parameter, Signature

label = "Hamilton"
missing = None if find_spec("hamilton") else "Hamilton is not installed (pip install apache-hamilton)"
takes = "functions"
most = 10**3


class Flow:
    """The driver, and the function that its functions call, which is known when it runs."""

    def __init__(self, mapping):
        from hamilton import ad_hoc_utils, driver

        self.names = {identifier(name): name for name in mapping}
        self.function = None
        functions = [self.task(name, dependencies) for name, dependencies in mapping.items()]
        module = ad_hoc_utils.create_temporary_module(*functions)
        self.driver = driver.Builder().with_modules(module).build()

    def task(self, name, dependencies):
        def task(**ignored):
            return self.function(name)

        task.__name__ = task.__qualname__ = identifier(name)
        needs = [identifier(dependency) for dependency in dependencies]
        task.__annotations__ = dict.fromkeys(needs, str) | {"return": str}
        task.__signature__ = Signature(
            [Parameter(each, Parameter.KEYWORD_ONLY, annotation=str) for each in needs], return_annotation=str
        )
        return task


def identifier(name):
    return name.replace("-", "_")


build = Flow


def run(flow, function):
    flow.function = function
    results = flow.driver.execute(list(flow.names))
    return {name: results[each] for each, name in flow.names.items()}
