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


def build_bare(mapping, function):
    return len(mapping), function


def run_bare(built):
    """Do the same with a function that takes no arguments."""
    n, function = built
    results = []
    for _ in range(n):
        coroutine = function()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            results.append(stop.value)
    return results
