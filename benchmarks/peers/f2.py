"""F2, the second floor: one coroutine awaits every body and keeps what it returns."""

label = "F2"
missing = None
takes = "coroutines"


def build(mapping):
    return list(mapping)


async def run(names, function):
    results = [None] * len(names)
    for i, name in enumerate(names):
        results[i] = await function(name)
    return results


def build_bare(mapping, function):
    return len(mapping), function


async def run_bare(built):
    """Do the same with a function that takes no arguments."""
    n, function = built
    results = [None] * n
    for i in range(n):
        results[i] = await function()
    return results
