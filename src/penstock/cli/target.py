"""What a command is given as a graph: which file or module, and which attribute of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

from penstock.cli.errors import BadInput

__all__ = ["Kind", "Target", "parse_target"]


class Kind(Enum):
    """Where a graph comes from."""

    WFFORMAT = "a WfFormat file"
    FILE = "a Python file"
    MODULE = "a Python module"


@dataclass(frozen=True, slots=True)
class Target:
    """One graph to be loaded: ``place`` is a path or the name of a module."""

    text: str
    kind: Kind
    place: str
    attribute: str | None


def parse_target(text: str) -> Target:
    """Take ``FILE.json``, ``FILE.py[:ATTRIBUTE]`` or ``MODULE:ATTRIBUTE`` apart.

    The last colon separates, unless what follows it cannot be an attribute and so belongs to a path, as in
    ``C:\\work\\flow.py``.  Whether the place exists is seen when it is loaded.

    Raises
    ------
    BadInput
        The text is none of these.
    """
    if not text:
        raise BadInput("the name of the graph is empty; give a file or module:attribute")
    if "\0" in text:
        raise BadInput(f"{text!r} holds a null character; give a file or module:attribute")
    place, colon, attribute = text.rpartition(":")
    if not colon or os.path.isfile(text) or "/" in attribute or "\\" in attribute:
        return _path(text, text, None)
    if _is_path(place):
        return _path(text, place, _checked(text, place, attribute))
    if not _is_dotted_name(place):
        return _path(text, text, None)
    return Target(text, Kind.MODULE, place, _checked(text, place, attribute))


def _checked(text: str, place: str, attribute: str) -> str:
    if not attribute:
        raise BadInput(f"{text}: nothing follows the colon; write {place}:name")
    if not _is_dotted_name(attribute):
        raise BadInput(f"{text}: {attribute!r} is no name of an attribute; write {place}:name")
    return attribute


def _path(text: str, path: str, attribute: str | None) -> Target:
    if _is_python(path):
        return Target(text, Kind.FILE, path, attribute)
    if attribute is not None:
        raise BadInput(f"{text}: {path} is no Python file, so it has no attributes; leave out :{attribute}")
    return Target(text, Kind.WFFORMAT, path, None)


def _is_path(place: str) -> bool:
    return _is_python(place) or "/" in place or "\\" in place or os.path.isfile(place)


def _is_python(path: str) -> bool:
    return path.lower().endswith((".py", ".pyw"))


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
