"""The compiled core: graphs, plans and run states as arrays of indices.

Names cross into it once (`Graph`), names come out of it in reports; in between there are only indices.  It
knows no clock, no event loop and no files.
"""

from penstock._core.graph import Graph
from penstock._core.plan import Plan
from penstock._core.ready import ReadyQueue
from penstock._core.run import CHECKED, STATE_NAMES, RunState

__all__ = ["CHECKED", "STATE_NAMES", "Graph", "Plan", "ReadyQueue", "RunState"]
