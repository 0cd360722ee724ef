"""Fixtures for tests of the compiled core."""

import pytest

from penstock._core import graph as core_graph


@pytest.fixture(params=["narrow", "wide", "widening"])
def row_pointers(request):
    """32-bit row pointers, 64-bit ones from the start, and ones that are widened after the fourth edge."""
    limit = {"narrow": None, "wide": -1, "widening": 4}[request.param]
    if limit is None:
        yield request.param
        return
    before = core_graph.set_narrow_limit(limit)
    yield request.param
    core_graph.set_narrow_limit(before)
