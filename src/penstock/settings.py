"""Settings: the options of a run, checked, and with the names of tasks turned into their numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from penstock._core.rules import Rules
from penstock.errors import UnknownTaskError, close_matches, shown
from penstock.policies import (
    FAILURE_POLICIES,
    PLACES,
    SLOW,
    TIME_SLICE,
    Observer,
    Progress,
    RetryPolicy,
    RunOptions,
    TaskOptions,
    check_choice,
    check_count,
    check_known,
    check_timeout,
    retry_policy,
)
from penstock.policing import MOST_THREADS, Policing

if TYPE_CHECKING:
    from penstock.plan import ExecutionPlan

__all__ = ["Settings", "plain", "settled"]


@dataclass(slots=True)
class Settings:
    """What a run is made with."""

    max_concurrency: int = 0
    stop_on_failure: bool = True
    keep: str | list[int] | None = None
    pass_results: bool = False
    time_slice: float = TIME_SLICE
    slow: float = SLOW
    progress: bool | Progress | None = None
    observer: Observer | None = None
    rules: Rules | None = None
    policing: Policing | None = None
    #: Tasks that are called through the policies.
    special: Collection[int] = ()
    #: Those of them that nobody waits for.
    tails: Collection[int] = ()


#: Of a run without any options, of a plan without any.
plain = Settings()


@dataclass(slots=True)
class _Tasks:
    """The options of single tasks, by task number."""

    always: set[int] = field(default_factory=set)
    priorities: dict[int, float] = field(default_factory=dict)
    uses: dict[int, tuple[int, ...]] = field(default_factory=dict)
    retries: dict[int, RetryPolicy | None] = field(default_factory=dict)
    timeouts: dict[int, float] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)


def settled(
    plan: ExecutionPlan,
    options: RunOptions,
    tail_tasks: Iterable[Hashable] = (),
    untried: Mapping[Hashable, object] = MappingProxyType({}),
) -> Settings:
    """Check the options of a run, together with those that the graph has for its tasks.

    Parameters
    ----------
    plan
        What is to be run.
    options
        As given by the user.
    tail_tasks
        Names of tasks that nobody waits for; unknown ones are ignored.
    untried
        Names of tasks that fail without being tried, with what their numbers of retries are.

    Raises
    ------
    TypeError, ValueError, KeyError
        An option makes no sense, or names a task that is not there.
    """
    if not options and not plan._options and not tail_tasks and not untried:
        return plain
    check_known(options)
    settings = Settings()
    if (most := options.get("max_concurrency")) is not None:
        settings.max_concurrency = min(check_count("max_concurrency", most, 1), plan.total_tasks)
    policy = options.get("failure_policy", "stop")
    check_choice("failure_policy", policy, FAILURE_POLICIES)
    settings.stop_on_failure = policy == "stop"
    settings.keep = _kept(plan, options.get("keep_results", "all"))
    settings.pass_results = _switch("pass_results", options.get("pass_results", False))
    settings.time_slice = options.get("time_slice", TIME_SLICE)
    check_timeout("time_slice", settings.time_slice, "")
    slow = options.get("slow_body", SLOW)
    if slow is not None:
        check_timeout("slow_body", slow)
    settings.slow = math.inf if slow is None else slow
    settings.progress = options.get("progress")
    settings.observer = options.get("observer")
    _add_policies(plan, options, settings, list(tail_tasks), untried)
    return settings


def _add_policies(
    plan: ExecutionPlan,
    options: RunOptions,
    settings: Settings,
    tail_tasks: list[Hashable],
    untried: Mapping[Hashable, object],
) -> None:
    find = plan._compiled.graph.find
    limits = _limits(options.get("limits"))
    tasks = _by_task(plan, options.get("options"), {name: number for number, name in enumerate(limits)})
    barriers = _switch("stage_barriers", options.get("stage_barriers", False))
    if tasks.always or tasks.priorities or tasks.uses or barriers:
        settings.rules = Rules(
            plan._compiled, tasks.always, list(limits.values()), tasks.uses, tasks.priorities, barriers
        )
    retries = retry_policy(options.get("retries"))
    task_timeout, timeout = options.get("task_timeout"), options.get("timeout")
    for what, seconds in (("task_timeout", task_timeout), ("timeout", timeout)):
        if seconds is not None:
            check_timeout(what, seconds)
    context = options.get("concurrency_context")
    for method in ("__aenter__", "__aexit__"):
        if context is not None and not hasattr(type(context), method):
            raise TypeError(f"concurrency_context is {context!r}, which is no asynchronous context manager")
    place = options.get("sync_in", "loop")
    check_choice("sync_in", place, PLACES)
    threaded = _threaded(plan, place, tasks.places)
    try:
        tails = {task: name for name in tail_tasks if (task := find(name)) >= 0}
    except TypeError:
        raise TypeError(f"ignore_tail_task is {tail_tasks!r}; give names of tasks") from None
    awaited = {task for task in tails if plan._compiled.successors_of(task)}
    failing = {task: retries for name, retries in untried.items() if (task := find(name)) >= 0}
    special: Collection[int] = range(plan.total_tasks) if context is not None else threaded | awaited | failing.keys()
    if not (retries or task_timeout or timeout or special or tasks.retries or tasks.timeouts or tails):
        return
    position = plan._compiled.position
    by_position: dict[int | None, RetryPolicy | None] = {position[t]: policy for t, policy in tasks.retries.items()}
    seconds_of: dict[int | None, float] = {position[task]: seconds for task, seconds in tasks.timeouts.items()}
    if retries is not None:
        by_position[None] = retries
    if task_timeout is not None:
        seconds_of[None] = 0.0 if task_timeout == math.inf else float(task_timeout)
    settings.special = special
    settings.tails = tails.keys() - awaited
    settings.policing = Policing(
        by_position,
        seconds_of,
        None if timeout is None or timeout == math.inf else float(timeout),
        context,
        {position[task] for task in threaded},
        settings.max_concurrency or MOST_THREADS,
    )
    settings.policing.facts.untried = {position[task]: retries for task, retries in failing.items()}
    settings.policing.set_awaited_tails(frozenset(tails[task] for task in awaited))


def _switch(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what} is {value!r}; give True or False")
    return value


def _limits(limits: Mapping[str, int] | None) -> dict[str, int]:
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise TypeError(f"limits is {limits!r}; give a mapping of names to numbers, such as {{'db': 3}}")
    return {name: check_count(f"limits[{name!r}]", number, 1) for name, number in limits.items()}


def _by_task(plan: ExecutionPlan, given: Mapping[Any, TaskOptions] | None, limits: Mapping[str, int]) -> _Tasks:
    """Gather what the tasks' options say; those of the run stand above those of the graph, field by field."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"options is {given!r}; give a mapping of task names to TaskOptions")
    found = _Tasks()
    for source in (plan._options, given or {}):
        # Not items(): without memory for their iterator CPython 3.11 crashes, and every run comes through here.
        for name in source:
            options = source[name]
            if not isinstance(options, TaskOptions):
                raise TypeError(f"the options of task {shown(name)} are {options!r}; give TaskOptions(...)")
            task = plan._compiled.graph.find(name)
            if task < 0:
                raise UnknownTaskError(name, "options", plan.names)
            _note(found, task, name, options, limits)
    return found


def _note(found: _Tasks, task: int, name: Hashable, options: TaskOptions, limits: Mapping[str, int]) -> None:
    if options.retries is not None:
        found.retries[task] = retry_policy(options.retries)
    if options.timeout is not None:
        found.timeouts[task] = 0.0 if options.timeout == math.inf else float(options.timeout)
    if options.priority is not None:
        found.priorities[task] = float(options.priority)
    if options.sync_in is not None:
        found.places[task] = options.sync_in
    if options.run_when is not None:
        (found.always.add if options.run_when == "finished" else found.always.discard)(task)
    if options.uses:
        found.uses[task] = tuple(_limit(limit, name, limits) for limit in options.uses)


def _limit(limit: str, name: Hashable, limits: Mapping[str, int]) -> int:
    if limit not in limits:
        similar = close_matches(limit, limits)
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise ValueError(
            f"task {shown(name)} uses the limit {limit!r}, which the run does not have; give it in limits={{...}}{hint}"
        )
    return limits[limit]


def _threaded(plan: ExecutionPlan, place: str, places: Mapping[int, str]) -> set[int]:
    """Return the tasks whose functions are called in threads."""
    if place == "thread":
        return {task for task in range(plan.total_tasks) if places.get(task) != "loop"}
    return {task for task, own in places.items() if own == "thread"}


def _kept(plan: ExecutionPlan, keep_results: str | Iterable[Hashable]) -> str | list[int] | None:
    if isinstance(keep_results, str):
        if keep_results not in ("all", "sinks", "none"):
            raise ValueError(f"keep_results is {keep_results!r}; give 'all', 'sinks', 'none' or a list of names")
        return None if keep_results == "all" else keep_results
    if not isinstance(keep_results, Iterable):
        raise TypeError(f"keep_results is {keep_results!r}; give 'all', 'sinks', 'none' or a list of names")
    return plan._tasks(keep_results, "keep_results")
