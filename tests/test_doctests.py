"""The examples in the docstrings of src do what they show."""

import doctest
import importlib
import pkgutil

import pytest

import penstock

MODULES = [
    module.name
    for module in pkgutil.walk_packages(penstock.__path__, "penstock.")
    if "._core" not in module.name and not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["penstock", *MODULES])
def test_the_examples_of_a_module_hold(name):
    module = importlib.import_module(name)
    # Public classes say that they live in `penstock`, where a search of their own module would not find them.
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = {test.name: test for test in finder.find(module, name, globs=dict(vars(module)))}
    for public in vars(module).values():
        if getattr(public, "__module__", None) == "penstock" and isinstance(public, type):
            for test in finder.find(public, public.__qualname__, module=False, globs=dict(vars(module))):
                examples[test.name] = test
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in examples.values():
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_there_are_examples_at_all():
    assert doctest.DocTestFinder().find(penstock)[0].examples
