"""The pages on the model and on failures say what is true: examples run, and tables agree with the code."""

import doctest
import re
from pathlib import Path

import pytest

from penstock._core import STATE_NAMES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "concepts.md"


@pytest.mark.parametrize("page", ["concepts.md", "failures.md"])
def test_the_examples_give_what_the_page_says(page):
    results = doctest.testfile(str(DOCS / page), module_relative=False, encoding="utf-8")
    assert results.failed == 0
    assert results.attempted > 10


def test_the_table_of_states_has_every_state_in_order():
    section = PAGE.read_text(encoding="utf-8").partition("## States")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == STATE_NAMES
