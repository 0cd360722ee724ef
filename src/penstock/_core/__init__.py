"""The compiled core: graphs, plans and run states as arrays of indices, and the stepping of coroutines.

Names cross into it once (`Graph`), names come out of it in reports; in between there are only indices.
"""

from penstock._core.dispatch import UNSET, Dispatch
from penstock._core.graph import Graph
from penstock._core.plan import Plan
from penstock._core.ready import ReadyQueue
from penstock._core.run import CHECKED, STATE_NAMES, RunState
from penstock._core.step import Task

__all__ = ["CHECKED", "STATE_NAMES", "UNSET", "Dispatch", "Graph", "Plan", "ReadyQueue", "RunState", "Task"]
