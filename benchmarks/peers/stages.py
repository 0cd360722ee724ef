"""The tasks of a graph by stages, which is what many programs run graphs by; no peer of its own."""


def stages(mapping):
    """Return a list of lists of names; the mapping lists every task after its dependencies."""
    depth = {}
    found = []
    for name, dependencies in mapping.items():
        depth[name] = stage = 1 + max([depth[dependency] for dependency in dependencies], default=-1)
        if stage == len(found):
            found.append([])
        found[stage].append(name)
    return found
