"""F1, the first floor: a Python loop makes each coroutine, sends to it once and keeps what it returns.

It does nothing else that running a graph takes: no identity, no context, no times, no states, no dependencies.
It takes the tasks as they are listed, which is kinder to memory than any order of running.
"""

label = "F1"
missing = None
takes = "coroutines"


def build(mapping):
    return list(mapping)


def run(names, function):
    results = []
    for name in names:
        coroutine = function(name)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            results.append(stop.value)
    return results


def run_bare(names, function):
    """Do the same with a function that takes no arguments."""
    results = []
    for _ in names:
        coroutine = function()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            results.append(stop.value)
    return results
