"""From a parsed WfFormat document to a `WfInstance`.

Two shapes are in use, and documents between them:

.. code-block:: text

    1.5, 1.6   workflow.specification.tasks[]  id name parents[] children[] inputFiles[] outputFiles[]
               workflow.specification.files[]  id sizeInBytes
               workflow.execution.tasks[]      id runtimeInSeconds command{program arguments[]}
    1.3, 1.4   workflow.tasks[] (or jobs[])    name [id] parents[] [children[]] command{program arguments[]}
                                               runtimeInSeconds | runtime
                                               files[] {link: input | output, name | id, sizeInBytes | size}

These files are written by many programs, so every value is checked before it is used: whatever is wrong
becomes a `FormatError` that names the place as the document's own path, never a KeyError or TypeError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from penstock.errors import close_matches, shown_list
from penstock.formats.wfinstance import WfCommand, WfInstance, file_edges
from penstock.formats.wfvalues import DocumentValues, kind

__all__ = ["parse_document"]

_NOT_WFFORMAT = "a WfFormat document is a JSON object with a 'workflow' member"
_WHERE_TASKS_ARE = "workflow.specification.tasks (WfFormat 1.5 and 1.6) or workflow.tasks (1.3 and 1.4)"

_Files = Mapping[str, tuple[str, ...]]


def parse_document(document: object, path: str | None) -> WfInstance:
    """Return the instance that a parsed document describes.

    Raises
    ------
    FormatError
        The document is not WfFormat.
    """
    return _Parser(path).parse(document)


class _Parser(DocumentValues):
    """Collects one document's content; used once, by one thread."""

    def __init__(self, path: str | None) -> None:
        super().__init__(path)
        self.task_ids: list[str] = []
        self.parents: dict[str, list[str]] = {}
        self.children: dict[str, list[str]] = {}
        self.runtimes: dict[str, float] = {}
        self.commands: dict[str, WfCommand] = {}
        self.inputs: dict[str, list[str]] = {}
        self.outputs: dict[str, list[str]] = {}
        self.file_sizes: dict[str, int] = {}
        self.task_names: dict[str, str] = {}
        self.categories: dict[str, str] = {}
        # Every id that a name stands for; a name is a reference only while it stands for one.
        self.ids_of_name: dict[str, dict[str, None]] = {}

    def parse(self, document: object) -> WfInstance:
        """Return the instance; execution and dependencies come last, because they refer to tasks."""
        if not isinstance(document, Mapping):
            raise self.error(f"holds {kind(document)}; {_NOT_WFFORMAT}")
        workflow = document.get("workflow")
        if not isinstance(workflow, Mapping):
            found = "has no 'workflow' member" if workflow is None else f"has {kind(workflow)} as 'workflow'"
            raise self.error(f"{found}; {_NOT_WFFORMAT}")
        specification = self.optional_mapping(workflow, "specification", "workflow")
        place, tasks = self.find_tasks(specification, workflow)
        for index, task in enumerate(tasks):
            self.read_task(task, f"{place}[{index}]")
        for index, file in enumerate(self.items(specification, "files", "workflow.specification")):
            self.read_file(file, f"workflow.specification.files[{index}]")
        self.read_execution(self.optional_mapping(workflow, "execution", "workflow"))
        return self.instance(document)

    def instance(self, document: Mapping[str, object]) -> WfInstance:
        name = document.get("name")
        if not isinstance(name, str) or not name:
            name = os.path.splitext(os.path.basename(self.path))[0] if self.path else "workflow"
        inputs = {task: tuple(dict.fromkeys(files)) for task, files in self.inputs.items()}
        outputs = {task: tuple(dict.fromkeys(files)) for task, files in self.outputs.items()}
        return WfInstance(
            name=name,
            task_ids=tuple(self.task_ids),
            dependencies=self.dependencies(inputs, outputs),
            runtimes=self.runtimes,
            commands=self.commands,
            inputs=inputs,
            outputs=outputs,
            file_sizes=self.file_sizes,
            task_names=self.task_names,
            categories=self.categories,
            path=self.path,
            document=document,
        )

    # Tasks

    def find_tasks(
        self, specification: Mapping[str, object], workflow: Mapping[str, object]
    ) -> tuple[str, Sequence[object]]:
        for owner, place in ((specification, "workflow.specification"), (workflow, "workflow")):
            for key in ("tasks", "jobs"):
                if owner.get(key) is not None:
                    return f"{place}.{key}", self.items(owner, key, place)
        raise self.error(f"has no list of tasks; it is looked for in {_WHERE_TASKS_ARE}")

    def read_task(self, value: object, place: str) -> None:
        task = self.mapping(value, place)
        name = self.text(task, "name", place)
        task_id = self.identifier(task, place)
        if not task_id:
            raise self.error(f"{place} has neither an id nor a name; give every task an id of its own")
        self.task_ids.append(task_id)
        self.task_names.setdefault(task_id, name or task_id)
        self.ids_of_name.setdefault(name or task_id, {})[task_id] = None
        if category := self.text(task, "category", place):
            self.categories[task_id] = category
        for key, found in (("parents", self.parents), ("children", self.children)):
            if task.get(key) is not None:
                found.setdefault(task_id, []).extend(self.texts(task, key, place))
        self.inputs.setdefault(task_id, []).extend(self.texts(task, "inputFiles", place))
        self.outputs.setdefault(task_id, []).extend(self.texts(task, "outputFiles", place))
        for index, file in enumerate(self.items(task, "files", place)):
            self.read_linked_file(task_id, file, f"{place}.files[{index}]")
        self.read_measurements(task_id, task, place)

    def read_measurements(self, task_id: str, task: Mapping[str, object], place: str) -> None:
        for key in ("runtimeInSeconds", "runtime"):
            if task.get(key) is not None:
                seconds = self.number(task[key], f"{place}.{key} of task '{task_id}'", "seconds")
                self.runtimes[task_id] = float(seconds)
                break
        if isinstance(task.get("command"), str):
            task = {"command": {"program": task["command"]}}
        command, place = self.optional_mapping(task, "command", place), f"{place}.command"
        if program := self.text(command, "program", place):
            if isinstance(arguments := command.get("arguments"), str):
                command = {"arguments": [arguments]}
            self.commands[task_id] = WfCommand(program, tuple(self.texts(command, "arguments", place)))

    def read_execution(self, execution: Mapping[str, object]) -> None:
        known = set(self.task_ids)
        for index, value in enumerate(self.items(execution, "tasks", "workflow.execution")):
            place = f"workflow.execution.tasks[{index}]"
            task = self.mapping(value, place)
            reference = self.identifier(task, place)
            if not reference:
                raise self.error(f"{place} has no id; give it the id of the task it measured")
            task_id = self.resolve(reference, known, place)
            if task_id in known:
                self.read_measurements(task_id, task, place)

    # Files

    def read_linked_file(self, task_id: str, value: object, place: str) -> None:
        """Read an entry of the older ``files`` list, which says itself if the task reads or writes it."""
        file = self.read_file(value, place)
        link = value.get("link") if isinstance(value, Mapping) else None
        if link not in ("input", "output"):
            raise self.error(f"{place}.link is {kind(link)}; it must say 'input' or 'output'")
        (self.inputs if link == "input" else self.outputs)[task_id].append(file)

    def read_file(self, value: object, place: str) -> str:
        file = self.mapping(value, place)
        name = self.identifier(file, place)
        if not name:
            raise self.error(f"{place} has neither an id nor a name; give every file one")
        for key in ("sizeInBytes", "size"):
            if file.get(key) is not None:
                size = self.number(file[key], f"{place}.{key} of file '{name}'", "bytes")
                self.file_sizes[name] = int(size)
                break
        return name

    # Dependencies

    def dependencies(self, inputs: _Files, outputs: _Files) -> dict[str, tuple[str, ...]]:
        """Return each task's dependencies: as parents and children say, and failing both, as files imply."""
        known = set(self.task_ids)
        found: dict[str, dict[str, None]] = {task: {} for task in self.task_ids}
        for task, parents in self.parents.items():
            for parent in parents:
                found[task][self.resolve(parent, known, f"parents of task '{task}'")] = None
        for task, children in self.children.items():
            for child in children:
                found[self.resolve_child(child, task, known)][task] = None
        if not self.parents and not self.children:
            for writer, reader in file_edges(inputs, outputs):
                found[reader][writer] = None
        return {task: tuple(dependencies) for task, dependencies in found.items()}

    def resolve(self, reference: str, known: set[str], place: str) -> str:
        """Return the id that a reference means; an unknown one stays as it is, for planning to report."""
        candidates = None if reference in known else self.ids_of_name.get(reference)
        if candidates is None:
            return reference
        if len(candidates) > 1:
            named = f"'{reference}' is the name of {len(candidates):,} tasks ({shown_list(list(candidates))})"
            raise self.error(f"{place}: {named}; refer to one by its id")
        return next(iter(candidates))

    def resolve_child(self, reference: str, task: str, known: set[str]) -> str:
        child = self.resolve(reference, known, f"children of task '{task}'")
        if child not in known:
            # A graph holds what a task depends on, so a dependent that is no task has no place in it.
            hint = close_matches(child, self.task_ids)
            remedy = f"did you mean {' or '.join(hint)}?" if hint else "add that task or take it out"
            message = f"children of task '{task}': '{child}' is not a task of this workflow; {remedy}"
            raise self.error(message)
        return child
