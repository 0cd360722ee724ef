"""The same seed gives the same run, byte for byte, whatever the hash seed of the process."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

SEEDS = 50
HASH_SEEDS = ["0", "1", "2", "42", "4294967295"]


def event_log():
    """Plans, problems and recorded runs of many random graphs, as one text."""
    from random_graphs import random_dag, random_mapping
    from test_run_state import random_run

    from penstock import GraphError, TaskGraph

    lines = []
    for seed in range(SEEDS):
        pair = random_run(seed)
        lines.append(f"{pair.core.recorded} {pair.core.completion_order} {pair.core.states.tolist()}")
        lines.append(f"{list(TaskGraph.from_predecessors(random_dag(seed)).plan().stages)}")
        try:
            TaskGraph.from_predecessors(random_mapping(seed)).plan()
        except GraphError as error:
            lines.append(str(error))
    return "\n".join(lines)


def test_event_logs_do_not_depend_on_the_hash_seed():
    folder = Path(__file__).parent
    command = [sys.executable, "-c", "import test_run_determinism as t; print(t.event_log())"]
    digests = set()
    for hash_seed in HASH_SEEDS:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": _path_with(folder)}
        ended = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert len(ended.stdout) > 10_000
        digests.add(hashlib.sha256(ended.stdout).hexdigest())
    assert len(digests) == 1


def _path_with(folder):
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
