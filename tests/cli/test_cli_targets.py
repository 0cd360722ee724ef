"""What a command is given as a graph is taken apart: file or module, and attribute."""

from __future__ import annotations

import pytest

from penstock.cli.errors import BadInput
from penstock.cli.target import Kind, Target, parse_target


@pytest.mark.parametrize(
    ("text", "kind", "place", "attribute"),
    [
        ("flow.json", Kind.WFFORMAT, "flow.json", None),
        ("some/flow", Kind.WFFORMAT, "some/flow", None),
        ("flow.py", Kind.FILE, "flow.py", None),
        ("FLOW.PY", Kind.FILE, "FLOW.PY", None),
        ("flow.py:graph", Kind.FILE, "flow.py", "graph"),
        ("flow.py:holder.graph", Kind.FILE, "flow.py", "holder.graph"),
        ("a:b/flow.py:graph", Kind.FILE, "a:b/flow.py", "graph"),
        ("a:b/flow.py", Kind.FILE, "a:b/flow.py", None),
        ("C:\\work\\flow.py", Kind.FILE, "C:\\work\\flow.py", None),
        ("C:\\work\\flow.py:graph", Kind.FILE, "C:\\work\\flow.py", "graph"),
        ("C:\\work\\flow.json", Kind.WFFORMAT, "C:\\work\\flow.json", None),
        ("C:/work/flow.json", Kind.WFFORMAT, "C:/work/flow.json", None),
        ("flow:graph", Kind.MODULE, "flow", "graph"),
        ("package.flow:holder.graph", Kind.MODULE, "package.flow", "holder.graph"),
        ("what-is-this:graph", Kind.WFFORMAT, "what-is-this:graph", None),
    ],
)
def test_a_target_is_split_at_the_last_colon_that_separates_an_attribute(folder, text, kind, place, attribute):
    assert parse_target(text) == Target(text, kind, place, attribute)


def test_a_file_whose_name_has_a_colon_is_that_file(folder):
    (folder / "2024:graph").write_text("{}")
    assert parse_target("2024:graph").kind is Kind.WFFORMAT
    assert parse_target("2024:graph").place == "2024:graph"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the name of the graph is empty"),
        ("flow\0.py", "holds a null character"),
        ("flow.py:", "nothing follows the colon; write flow.py:name"),
        ("flow:", "nothing follows the colon; write flow:name"),
        ("flow.py:a-b", "'a-b' is no name of an attribute; write flow.py:name"),
        ("flow:1", "'1' is no name of an attribute"),
        ("./flow.json:graph", "./flow.json is no Python file, so it has no attributes; leave out :graph"),
    ],
)
def test_what_cannot_be_a_target_is_refused_with_the_remedy(folder, text, message):
    with pytest.raises(BadInput) as refused:
        parse_target(text)
    assert message in str(refused.value)
