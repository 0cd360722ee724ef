"""Reading workflows in WfFormat, the JSON format of the WfCommons project, versions 1.3 to 1.6.

`read_wfformat` takes a file or a parsed document and gives a `WfInstance`; ``instance.graph()`` is the graph
to plan. This module fetches the document and refuses what is not JSON; `penstock.formats.wfparse` gives it
meaning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from penstock.errors import FormatError
from penstock.formats.wfinstance import WfCommand, WfInstance, edges_from_files
from penstock.formats.wfparse import parse_document

__all__ = ["WfCommand", "WfInstance", "edges_from_files", "read_wfformat"]

#: Larger files are refused: parsed, a document takes five to ten times its size in memory.
MAX_DOCUMENT_BYTES = 2 << 30
#: Files are read in pieces, so that a device or a binary file is refused soon and memory is taken as needed.
_PIECE_BYTES = 1 << 20


def read_wfformat(source: str | os.PathLike[str] | Mapping[str, Any]) -> WfInstance:
    """Read a workflow from a WfFormat 1.3 to 1.6 file, or from a document that is parsed already.

    The shape of the document decides, not its version string: tasks are looked for in
    ``workflow.specification.tasks`` (1.5 and 1.6), then in ``workflow.tasks`` and ``workflow.jobs`` (1.3 and
    1.4); runtimes and commands in ``workflow.execution.tasks`` and in the tasks themselves.  A task may name
    others by id, or by name where one task alone has it.  A dependency given as a parent, as a child or as
    both is the same dependency; a document that gives neither anywhere takes them from its files.  Execution
    records of tasks that the workflow does not list are ignored, and of several for one task the last
    counts.

    Parameters
    ----------
    source
        A path, or the mapping that ``json.load`` made of one.

    Returns
    -------
    WfInstance
        The workflow; its graph is not checked before it is planned.

    Raises
    ------
    FormatError
        The file cannot be read or the document is not WfFormat; the message names the place and the remedy.
    """
    if isinstance(source, Mapping):
        return parse_document(source, None)
    path = _checked_path(source)
    return parse_document(_load(path), path)


def _checked_path(source: object) -> str:
    if not isinstance(source, str | bytes | os.PathLike):
        raise FormatError(f"a workflow is read from a path or a mapping, not from {type(source).__name__}")
    path = os.fsdecode(source)
    if "\0" in path:
        raise FormatError(f"{path!r} holds a null character, so it cannot be the path of a file")
    return path


def _load(path: str) -> object:
    """Return the parsed JSON of a file."""
    text = _decode(_read(path), path)
    if not text or text.isspace():
        raise FormatError("is empty; a WfFormat document is a JSON object with a 'workflow' member", path)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise FormatError(f"{message}; export the workflow again or mend it there", path) from None
    except RecursionError:
        raise FormatError("is nested too deeply to be read; WfFormat needs seven levels", path) from None
    except ValueError as error:
        raise FormatError(f"is not readable JSON: {error}", path) from None


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value; leave the member out or write null")


def _read(path: str) -> bytearray:
    try:
        with open(path, "rb") as file:
            return _read_bounded(file, path)
    except FileNotFoundError:
        raise FormatError("no such file; check the spelling and the current folder", path) from None
    except IsADirectoryError:
        raise FormatError("is a folder; give the WfFormat file in it", path) from None
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path) from None
    except MemoryError:
        raise FormatError("is too large for the memory of this machine", path) from None


def _read_bounded(file: IO[bytes], path: str) -> bytearray:
    content = bytearray()
    while piece := file.read(_PIECE_BYTES):
        if b"\0" in piece:
            raise FormatError("is a binary file; a WfFormat document is JSON text in UTF-8", path)
        content += piece
        if len(content) > MAX_DOCUMENT_BYTES:
            limit = f"{MAX_DOCUMENT_BYTES:,} bytes"
            raise FormatError(f"is larger than {limit}; build such a graph with TaskGraph.from_arrays", path)
    return content


def _decode(content: bytearray, path: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte {error.start:,}, line {line:,}); save the document as UTF-8"
        raise FormatError(message, path) from None
