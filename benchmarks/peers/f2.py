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


async def run_bare(names, function):
    """Do the same with a function that takes no arguments."""
    results = [None] * len(names)
    for i in range(len(names)):
        results[i] = await function()
    return results
