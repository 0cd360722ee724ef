"""From what a command is given as a graph to its plan."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from penstock.cli.errors import BadInput, graph_problems
from penstock.cli.target import Kind, Target, parse_target
from penstock.cli.usercode import guarded, import_file, import_named, load_own_dependencies, surroundings

if TYPE_CHECKING:
    from penstock.formats.wfinstance import WfInstance
    from penstock.graph import TaskGraph
    from penstock.plan import ExecutionPlan

__all__ = ["Loaded", "loaded"]

#: What is looked for in a Python file, in this order.
DEFAULT_ATTRIBUTES = ("graph", "plan", "main")

#: So many names that a file defines are listed.
MAX_NAMES_LISTED = 20

_REMEDY = "give a TaskGraph, a plan, or a function that returns one"


@dataclass(frozen=True)
class Loaded:
    """A planned graph and where it came from; ``instance`` is what a WfFormat file said, else None."""

    source: str
    plan: ExecutionPlan
    instance: WfInstance | None = None


@contextlib.contextmanager
def loaded(text: str, arguments: Sequence[str], debug: bool = False) -> Iterator[Loaded]:
    """Load and plan one graph; while the context lasts, its code finds what lies beside it.

    Parameters
    ----------
    text
        ``FILE.json``, ``FILE.py[:ATTRIBUTE]`` or ``MODULE:ATTRIBUTE``.
    arguments
        What a function is given, as one list.
    debug
        Show whole tracebacks.

    Raises
    ------
    BadInput
        There is no such graph, or it cannot be planned.
    UserExit
        The user's code ended itself.
    """
    target = parse_target(text)
    load_own_dependencies()
    if target.kind is Kind.WFFORMAT:
        yield _workflow(target, arguments)
        return
    with _surroundings_of(target, arguments):
        source, value = _attribute(target, debug)
        if _is_function(value):
            value = _returned(source, value, list(arguments), debug)
        elif arguments:
            raise BadInput(f"{source} is {kind_of(value)} and takes no arguments; leave out what follows --")
        yield Loaded(source, _plan(source, value))


def _workflow(target: Target, arguments: Sequence[str]) -> Loaded:
    from penstock.errors import GraphError
    from penstock.formats.wfformat import read_wfformat

    path = target.place
    if arguments:
        raise BadInput(f"{path} is a WfFormat file and takes no arguments; leave out what follows --")
    if not os.path.lexists(path) and path.isidentifier():
        raise BadInput(f"{path}: no such file; for a module write {path}:attribute")
    try:
        instance = read_wfformat(path)
        return Loaded(path, instance.graph().plan(), instance)
    except GraphError as error:
        raise graph_problems(path, error) from error


def _surroundings_of(target: Target, arguments: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    if target.kind is Kind.MODULE:
        return surroundings(os.getcwd(), [target.place, *arguments])
    _check_file(target.place)
    return surroundings(os.path.dirname(os.path.abspath(target.place)), [target.place, *arguments])


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise BadInput(f"{path} is a folder; give a file in it")
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; check the spelling and the current folder") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None


def _plan(source: str, value: object) -> ExecutionPlan:
    from penstock.errors import GraphError
    from penstock.plan import ExecutionPlan

    if isinstance(value, ExecutionPlan):
        return value
    graph: TaskGraph = value  # type: ignore[assignment]
    try:
        return graph.plan()
    except GraphError as error:
        raise graph_problems(source, error) from error


# The attribute


def _attribute(target: Target, debug: bool) -> tuple[str, Any]:
    """Return the thing that is or makes the graph, and what to call it in messages."""
    load = import_file if target.kind is Kind.FILE else import_named
    module = load(target.place, debug)
    with guarded(f"{target.text} could not be looked at", debug):
        if target.attribute is None:
            return _default(target.place, module)
        value = _named(target.place, module, target.attribute)
        if not _is_usable(value):
            raise BadInput(f"{target.place}: {target.attribute} is {kind_of(value)}; {_REMEDY}")
        return f"{target.place}:{target.attribute}", value


def _named(place: str, module: ModuleType, attribute: str) -> Any:
    value: Any = module
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise BadInput(f"{place} has no attribute {attribute!r}; {_found(place, module)}") from None
    return value


def _default(place: str, module: ModuleType) -> tuple[str, Any]:
    unusable = []
    for name in DEFAULT_ATTRIBUTES:
        try:
            value = getattr(module, name)
        except AttributeError:
            continue
        if _is_usable(value):
            return f"{place}:{name}", value
        unusable.append(f"{name} is {kind_of(value)}")
    if unusable:
        raise BadInput(f"{place}: {' and '.join(unusable)}; {_REMEDY}")
    raise BadInput(f"{place} has neither graph, plan nor main; {_found(place, module)}")


def _found(place: str, module: ModuleType) -> str:
    """List what a module defines, and say which of it could be named."""
    found = {name: value for name, value in vars(module).items() if _is_of_interest(module, name, value)}
    if not found:
        return f"it defines nothing that could be run; assign a TaskGraph to the name graph in {place}"
    names = list(found)
    listed = ", ".join(f"{name} ({kind_of(found[name])})" for name in names[:MAX_NAMES_LISTED])
    if len(names) > MAX_NAMES_LISTED:
        listed += f" and {len(names) - MAX_NAMES_LISTED:,} more"
    usable = [name for name in names if _is_graph(found[name])]
    usable += [name for name in names if _is_function(found[name])]
    remedy = f"name one, as in {place}:{usable[0]}" if usable else _REMEDY
    return f"found {listed}; {remedy}"


def _is_of_interest(module: ModuleType, name: str, value: object) -> bool:
    if name.startswith("_") or isinstance(value, ModuleType):
        return False
    # Classes and functions that were only imported are no news.
    return not isinstance(value, (type, FunctionType)) or value.__module__ == module.__name__


def _is_usable(value: object) -> bool:
    return _is_graph(value) or _is_function(value)


def _is_graph(value: object) -> bool:
    from penstock.graph import TaskGraph
    from penstock.plan import ExecutionPlan

    return isinstance(value, (TaskGraph, ExecutionPlan))


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type) and not _is_graph(value)


def kind_of(value: object) -> str:
    """Return what a value is, with an article."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, ModuleType):
        return "a module"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


# A function


def _returned(source: str, function: Callable[..., Any], arguments: list[str], debug: bool) -> object:
    """Call the user's function and return its graph or plan."""
    if inspect.iscoroutinefunction(function):
        raise BadInput(f"{source} is a coroutine function; make it a plain one that returns a graph or a plan")
    positional = _positional(source, function, arguments)
    with guarded(f"{source} failed", debug):
        value = function(*positional)
    if _is_graph(value):
        return value
    if inspect.iscoroutine(value):
        value.close()
    raise BadInput(f"{source} returned {kind_of(value)}; it must return a TaskGraph or a plan")


def _positional(source: str, function: Callable[..., Any], arguments: list[str]) -> tuple[list[str], ...]:
    """Return what to call a function with: the list, or nothing if it takes nothing and there is nothing."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return (arguments,)
    if _can_call(signature, arguments):
        return (arguments,)
    if not _can_call(signature):
        raise BadInput(f"{source} cannot be called with one list of arguments; it takes {signature}")
    if arguments:
        raise BadInput(f"{source} takes no arguments; leave out what follows --, or give it a parameter")
    return ()


def _can_call(signature: inspect.Signature, *positional: object) -> bool:
    try:
        signature.bind(*positional)
    except TypeError:
        return False
    return True
