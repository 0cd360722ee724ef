"""What a WfFormat document says, as plain Python values: tasks, dependencies, files, recorded execution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.graph import TaskGraph

__all__ = ["WfCommand", "WfInstance", "edges_from_files", "file_edges"]


@dataclass(frozen=True, slots=True)
class WfCommand:
    """The program a task ran and its arguments, exactly as recorded.

    Attributes
    ----------
    program : str
        A name to be looked up on ``PATH``, or a path.
    arguments : tuple of str
        One item for each recorded item.  Some systems record several words as one item (``"--percent-cpu
        0.6"``); such an item stays one argument, because only the recorder knows where it was to be split.
    """

    program: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class WfInstance:
    """One workflow read from a WfFormat document.

    A task is known by its ``id`` (by its ``name`` where the document gives no ids), and that is its name in
    the graph.  The mappings are keyed by that id; what the document does not say is absent from them.

    Attributes
    ----------
    name : str
        The document's name, else the file's.
    task_ids : tuple of str
        Every listed task in document order; a task listed twice is here twice, so that planning reports it.
    dependencies : mapping of str to tuple of str
        The ids each task depends on, the unknown ones too; every task has an entry.
    runtimes : mapping of str to float
        Recorded seconds.
    commands : mapping of str to WfCommand
        Recorded programs.
    inputs, outputs : mapping of str to tuple of str
        The files each task reads and writes; every task has an entry.
    file_sizes : mapping of str to int
        Bytes of each file.
    task_names, categories : mapping of str to str
        What the document calls a task and its kind, beside its id.
    path : str or None
        The file the document came from.
    document : mapping
        The document as it was read, kept for writing an execution back.

    Notes
    -----
    Treat the mappings as read-only; an instance may then be shared between threads.
    """

    name: str
    task_ids: tuple[str, ...]
    dependencies: Mapping[str, tuple[str, ...]]
    runtimes: Mapping[str, float] = field(default_factory=dict)
    commands: Mapping[str, WfCommand] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file_sizes: Mapping[str, int] = field(default_factory=dict)
    task_names: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def graph(self) -> TaskGraph:
        """Return the tasks and their dependencies as a new graph without functions.

        Nothing is checked here: ``graph().plan()`` reports every task listed twice, unknown dependency and
        cycle at once.
        """
        # Imported here because the graph module offers from_wfformat, which imports this package.
        from penstock.graph import TaskGraph

        predecessors = {task: self.dependencies.get(task, ()) for task in self.task_ids}
        if len(predecessors) == len(self.task_ids):
            return TaskGraph.from_predecessors(predecessors)
        graph = TaskGraph()
        for task in self.task_ids:
            graph.add_task(task, depends_on=predecessors[task])
        return graph


def edges_from_files(instance: WfInstance) -> set[tuple[str, str]]:
    """Return the ``(dependency, dependent)`` pairs that files imply: writers of a file before its readers.

    A task that reads and writes the same file does not depend on itself.  A file with several writers makes
    each of them a dependency of every other task that reads it.
    """
    return set(file_edges(instance.inputs, instance.outputs))


def file_edges(inputs: Mapping[str, Sequence[str]], outputs: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of `edges_from_files` in document order, once for each file that implies them."""
    writers: dict[str, list[str]] = {}
    for task, files in outputs.items():
        for file in files:
            writers.setdefault(file, []).append(task)
    for reader, files in inputs.items():
        for file in files:
            for writer in writers.get(file, ()):
                if writer != reader:
                    yield writer, reader
