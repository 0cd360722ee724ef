"""Run one of CPython's asyncio test modules on penstock.Task and print what came out, as JSON.

    python run_cpython_tests.py MODULE [asyncio|uvloop]

``test_tasks`` and ``test_eager_task_factory`` are written for any task class and get ours.  The other modules run
as they are, after ``asyncio.Task`` was replaced in this process.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import importlib
import io
import json
import sys
import unittest
from typing import Any

import penstock


def with_our_task(base: type, *bases: type) -> type[unittest.TestCase]:
    """Derive a test case from one of CPython's that asks for the attributes Task and Future."""

    class OurTask(base, *bases):
        Task = penstock.Task
        Future = asyncio.Future
        all_tasks = property(lambda self: asyncio.all_tasks)

        def setUp(self) -> None:
            super().setUp()
            if hasattr(self, "new_task"):
                self.loop = self.new_test_loop()
                self.loop.set_task_factory(self.new_task)
                self.loop.create_future = lambda: self.new_future(self.loop)

    OurTask.__qualname__ = base.__name__
    return OurTask


def on_uvloop() -> None:
    """Have every new event loop be uvloop's, with our tasks; it took asyncio's own class when it was compiled."""
    import uvloop

    def new_event_loop() -> Any:
        loop = uvloop.new_event_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: penstock.Task(coro, loop=loop, **kwargs))
        return loop

    asyncio.new_event_loop = asyncio.events.new_event_loop = new_event_loop


def made_task_type() -> type:
    """Which class does create_task use now?"""

    async def nothing() -> None:
        pass

    async def main() -> type:
        task = asyncio.create_task(nothing())
        await task
        return type(task)

    with asyncio.Runner() as runner:
        return runner.run(main())


def cases(module_name: str) -> unittest.TestSuite:
    load = unittest.defaultTestLoader
    generic = {"test_tasks": "BaseTaskTests", "test_eager_task_factory": "EagerTaskFactoryLoopTests"}
    if module_name in generic:
        module = importlib.import_module(f"test.test_asyncio.{module_name}")
        base = getattr(module, generic[module_name])
        return load.loadTestsFromTestCase(with_our_task(base, module.test_utils.TestCase))
    asyncio.Task = asyncio.tasks.Task = penstock.Task
    assert made_task_type() is penstock.Task
    return load.loadTestsFromModule(importlib.import_module(f"test.test_asyncio.{module_name}"))


def main() -> None:
    module_name, loop = [*sys.argv[1:], "asyncio"][:2]
    if loop == "uvloop":
        on_uvloop()
    suite = cases(module_name)
    # The runner writes "ERROR: name" and tracebacks; they go along so that a failure can be read.
    text = io.StringIO()
    result = unittest.TextTestRunner(stream=text, verbosity=0).run(suite)
    bad = sorted(str(test).split()[0] for test, _ in [*result.failures, *result.errors])
    print(json.dumps({"ran": result.testsRun, "bad": bad, "skipped": len(result.skipped), "text": text.getvalue()}))


if __name__ == "__main__":
    main()
