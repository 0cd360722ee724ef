"""Random graphs of 0 to 60 tasks of every shape that has ever made a scheduler stumble, and rules for them, by seed."""

from __future__ import annotations

from random import Random

from reference import ReferenceRules


def random_mapping(seed):
    """A mapping of tasks to dependencies: acyclic or not, with names that are only mentioned, and repeats."""
    random = Random(seed)
    n = random.choice((0, 1, 2, 3, 5, 8, 13, 21, 34, 60))
    names = _names(random, n)
    shape = random.choice((_chain, _fan_out, _fan_in, _diamonds, _layers, _sparse, _dense, _tree, _apart))
    mapping = {name: [] for name in names}
    for task, other in shape(random, n):
        mapping[names[task]].append(names[other])
    if n and random.random() < 0.3:
        for _ in range(random.randint(1, 4)):  # cycles, self-loops among them
            mapping[random.choice(names)].append(random.choice(names))
    if n and random.random() < 0.3:
        for _ in range(random.randint(1, 6)):  # the same dependency again
            task = random.choice(names)
            if mapping[task]:
                mapping[task].append(random.choice(mapping[task]))
    if random.random() < 0.5:
        items = list(mapping.items())
        random.shuffle(items)
        mapping = dict(items)
    if n and random.random() < 0.2:
        for name in random.sample(names, random.randint(1, n // 2 + 1)):
            mapping.pop(name)  # now only mentioned, if at all
    return mapping


def random_dag(seed):
    """As `random_mapping`, but acyclic and with every task listed."""
    random = Random(seed)
    while True:
        mapping = with_all_listed(random_mapping(random.randrange(1 << 30)))
        position = {name: i for i, name in enumerate(mapping)}
        if not mapping:
            return mapping
        # Keep the edges that point back in one order of the names: none of those can close a cycle.
        return {
            name: [other for other in listed if position[other] < position[name]] for name, listed in mapping.items()
        }


def random_rules(seed, mapping):
    """Rules of every kind and in every combination, most of them for some of the tasks only."""
    random = Random(seed)
    rules = ReferenceRules()
    if random.random() < 0.5:
        share = random.choice((0.1, 0.3, 1.0))
        rules.always = {name for name in mapping if random.random() < share}
    if random.random() < 0.7:
        rules.capacities = tuple(random.choice((1, 1, 2, 3)) for _ in range(random.choice((1, 2, 3, 3))))
        share = random.choice((0.3, 0.8, 1.0))
        for name in mapping:
            if random.random() < share:
                used = random.choices(range(len(rules.capacities)), k=random.randint(0, len(rules.capacities)))
                rules.uses[name] = tuple(used)
    if random.random() < 0.3:
        rules.priorities = {name: random.choice((-1.5, 0.0, 1.0, 2.0)) for name in mapping if random.random() < 0.5}
    rules.barriers = random.random() < 0.3
    return rules


def with_all_listed(mapping):
    """The mapping with every mentioned name as a task, in the order of first mention."""
    mentioned = dict.fromkeys(other for listed in mapping.values() for other in listed)
    return mapping | {name: [] for name in mentioned if name not in mapping}


def with_separate_names(mapping):
    """The mapping with dependencies that equal the tasks' names but are other objects, where that can be."""
    return {name: [_again(other) for other in listed] for name, listed in mapping.items()}


def _again(name):
    if isinstance(name, str):
        return (name + "\0")[:-1]
    if isinstance(name, tuple):
        return (*name[:1], *name[1:])
    return int(str(name))


def _names(random, n):
    kind = random.choice(("text", "text", "long text", "int", "tuple", "mixed"))
    if kind == "text":
        return [f"t{i}" for i in range(n)]
    if kind == "long text":
        return [f"\N{GREEK SMALL LETTER PI}{'x' * (i % 40)}{i}" for i in range(n)]
    if kind == "int":
        return [i * 1_000_003 for i in range(n)]
    if kind == "tuple":
        return [("task", i) for i in range(n)]
    return [(f"t{i}", i + 10**9, ("task", i))[i % 3] for i in range(n)]


# Every shape yields pairs (task, dependency) in which the dependency has the lower number.


def _chain(random, n):
    return [(i, i - 1) for i in range(1, n)]


def _fan_out(random, n):
    return [(i, 0) for i in range(1, n)]


def _fan_in(random, n):
    return [(n - 1, i) for i in range(n - 1)]


def _diamonds(random, n):
    edges = []
    for top in range(0, n - 3, 3):
        edges += [(top + 1, top), (top + 2, top), (top + 3, top + 1), (top + 3, top + 2)]
    return edges


def _layers(random, n):
    width = random.randint(1, 8)
    return [
        (i, other)
        for i in range(width, n)
        for other in range(max(0, i // width * width - width), i // width * width)
        if random.random() < 0.6
    ]


def _sparse(random, n):
    return [(i, random.randrange(i)) for i in range(1, n) if random.random() < 0.8]


def _dense(random, n):
    return [(i, j) for i in range(n) for j in range(i) if random.random() < 0.4]


def _tree(random, n):
    return [(i, (i - 1) // 2) for i in range(1, n)]


def _apart(random, n):
    return []
