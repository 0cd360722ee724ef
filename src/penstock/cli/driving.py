"""Driving one run to its end, whatever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.cli.interrupt import Interrupt

if TYPE_CHECKING:
    from penstock.execution import Run
    from penstock.plan import ExecutionPlan
    from penstock.policies import Progress
    from penstock.report.models import ExecutionReport

__all__ = ["Ending", "Settings", "drive"]


@dataclass(frozen=True)
class Settings:
    """How to run: the options of ``plan.start``, and whether the process may be ended by force."""

    max_concurrency: int | None
    failure_policy: str
    progress: Progress | None
    may_exit: bool


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes
    ----------
    report : ExecutionReport
        Partial, unless the run ended by itself.
    signum : int or None
        The signal that ended it.
    raised : KeyboardInterrupt or SystemExit or None
        What a body raised to end it.
    """

    report: ExecutionReport
    signum: int | None = None
    raised: BaseException | None = None


def drive(
    plan: ExecutionPlan,
    func: Mapping[Any, Callable[[], Any]] | None,
    settings: Settings,
    tell: Callable[[Ending], object],
) -> Ending:
    """Run a plan on an event loop of its own, call ``tell`` with its end, and return that.

    It is told before the loop is closed, because closing waits for threads, and those may never end.
    """
    from penstock.execution import loop_factory

    drive = _Drive(plan, func, settings)
    interrupt = Interrupt(lambda signum: tell(drive.ending(signum)), settings.may_exit)
    with interrupt, asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(drive.main(interrupt))
        except (KeyboardInterrupt, SystemExit) as error:
            # Not from a body, whose exceptions end in the run: from a callback, or from the second stage of
            # an interrupt that found the loop waiting.
            drive.raised = error
        interrupt.begin_telling()
        try:
            ending = drive.ending(interrupt.signum)
            tell(ending)
        finally:
            interrupt.end_telling()
    return ending


class _Drive:
    """The run on its loop, kept where an interrupt finds it."""

    def __init__(self, plan: ExecutionPlan, func: Mapping[Any, Callable[[], Any]] | None, settings: Settings) -> None:
        self._plan = plan
        self._func = func
        self._settings = settings
        self._run: Run | None = None
        self.raised: BaseException | None = None

    async def main(self, interrupt: Interrupt) -> None:
        """Run to the end; a cancelled run and what a body raised to end it are not errors here."""
        settings = self._settings
        self._run = run = self._plan.start(
            self._func,
            max_concurrency=settings.max_concurrency,
            failure_policy=settings.failure_policy,
            progress=settings.progress,
            slow_body=None,  # nobody else is on this loop
        )
        interrupt.attach(run)
        try:
            await run
        except asyncio.CancelledError:
            pass  # the run's report says so
        except (KeyboardInterrupt, SystemExit) as error:
            self.raised = error

    def ending(self, signum: int | None) -> Ending:
        """Return how it ended, or stands now."""
        if self._run is None:
            # Interrupted before it began.
            raise KeyboardInterrupt
        report = self._run._last_report()
        if not self._run.done() and self._settings.progress is not None:
            self._settings.progress.close(report)
        return Ending(report, signum, self.raised)
