"""The service example: one plan, a run per request, and nothing lost when it shuts down."""

import asyncio
import contextlib
import graphlib
import importlib.util
import inspect
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

REASON = "the service example needs starlette, uvicorn and httpx: pip install 'penstock[test]'"
pytest.importorskip("starlette", reason=REASON)
pytest.importorskip("uvicorn", reason=REASON)
httpx = pytest.importorskip("httpx", reason=REASON)

FOLDER = Path(__file__).parents[2] / "examples" / "service"
PATHS = ("/quote", "/quote/bound")

#: Seconds after which something that should have happened has not.
PATIENCE = 30.0


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"service_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


service = load_example("app")
load = load_example("load")


def client_of(app: Any) -> Any:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service")


async def page_by_hand(user: int, item: int) -> dict[str, Any]:
    """The bodies called one after the other, without penstock."""
    query, results = service.Query(user, item), {}
    for name in graphlib.TopologicalSorter(service.GRAPH.to_predecessors()).static_order():
        needed = (results[other] for other in service.GRAPH.dependencies_of(name))
        value = service.BODIES[name](query, *needed)
        results[name] = await value if inspect.isawaitable(value) else value
    return results["page"]


async def in_time(main: Awaitable[None]) -> None:
    async with asyncio.timeout(PATIENCE):
        await main


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Event]:
    """All calls of other services wait for the event that the test puts into this list."""
    release: list[asyncio.Event] = []

    async def upstream(query: Any, name: str) -> None:
        await release[0].wait()

    monkeypatch.setattr(service, "upstream", upstream)
    return release


async def until_in_flight(gate: Any, n: int) -> None:
    while gate.n_in_flight != n:
        await asyncio.sleep(0)


# -- answers ----------------------------------------------------------------------------------------------


def test_the_graph_has_ten_tasks_and_ends_in_the_page():
    assert service.PLAN.total_tasks == 10
    assert [name for name in service.GRAPH if not service.GRAPH.dependents_of(name)] == ["page"]


@pytest.mark.parametrize("path", PATHS)
def test_a_request_gets_the_page_of_its_own_run(on_loop, path):
    async def main():
        async with client_of(service.create_app()) as client:
            response = await client.get(path, params={"user": 8, "item": 3})
        assert response.status_code == 200
        assert response.json() == await page_by_hand(8, 3)
        assert re.fullmatch(r"run;dur=\d+\.\d{4}", response.headers["server-timing"])

    on_loop(in_time(main()))


@pytest.mark.parametrize("path", PATHS)
def test_requests_at_the_same_time_do_not_see_one_another(on_loop, path, monkeypatch):
    gate, most = service.create_app(), 0

    async def upstream(query, name):
        nonlocal most
        most = max(most, gate.n_in_flight)
        await turns(1 + (query.user + len(name)) % 7)
        if path == "/quote":
            assert service.QUERY.get() is query

    async def main():
        queries = [{"user": n, "item": 1000 - n} for n in range(200)]
        expected = [await page_by_hand(**query) for query in queries]
        monkeypatch.setattr(service, "upstream", upstream)
        async with client_of(gate) as client:
            responses = await asyncio.gather(*(client.get(path, params=query) for query in queries))
        assert [response.json() for response in responses] == expected
        assert most == 200

    on_loop(in_time(main()))


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("task", "way"),
    [
        ("account", ["account", "page"]),
        ("basket", ["basket", "discount", "page"]),
        ("shipping", ["shipping", "page"]),
    ],
)
def test_another_service_that_does_not_answer_gives_502_with_the_task_and_the_way_to_the_page(
    on_asyncio, path, task, way
):
    async def main():
        async with client_of(service.create_app()) as client:
            response = await client.get(path, params={"user": 8, "item": 3, "fail": task})
        assert response.status_code == 502
        assert response.json() == {
            "task": task,
            "error": f"UpstreamError: the {task} service does not answer",
            "path": way,
        }

    on_asyncio(in_time(main()))


def test_a_bug_in_a_body_gives_500_and_one_request_only_has_it(on_asyncio, monkeypatch):
    async def main():
        async with client_of(service.create_app()) as client:
            urls = ("/quote?user=0&item=3", "/quote?user=1&item=3")
            failed, fine = await asyncio.gather(*map(client.get, urls))
        assert failed.status_code == 500
        assert failed.json()["path"] == ["tax", "page"]
        assert failed.json()["error"].startswith("TypeError: unsupported operand")
        assert fine.status_code == 200

    monkeypatch.setitem(service.VAT, "AT", None)
    on_asyncio(in_time(main()))


def test_the_last_task_can_fail_too(on_asyncio, monkeypatch):
    async def main():
        async with client_of(service.create_app()) as client:
            response = await client.get("/quote/bound", params={"user": 0, "item": 3})
        assert response.status_code == 500
        assert response.json() == {
            "task": "page",
            "error": "ZeroDivisionError: division by zero",
            "path": ["page"],
        }

    monkeypatch.setitem(service.BODIES, "page", lambda *results: 1 / 0)
    on_asyncio(in_time(main()))


@pytest.mark.parametrize("query", ["", "user=1", "user=x&item=1", "user=1&item=1&wait=nan", "user=1&item=1&wait=11"])
def test_a_bad_query_gives_400_and_runs_nothing(on_asyncio, query, monkeypatch):
    async def main():
        async with client_of(service.create_app()) as client:
            response = await client.get(f"/quote?{query}")
        assert response.status_code == 400
        assert "bad query" in response.text

    monkeypatch.setattr(service, "PLAN", None)
    on_asyncio(in_time(main()))


def test_a_client_that_hangs_up_cancels_its_run_and_no_other(on_loop, monkeypatch):
    waiting, cancelled = [], []

    async def upstream(query, name):
        waiting.append(name)
        if query.user == 1:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(name)
        else:
            await turns(20)

    async def receive():
        if not waiting:
            return {"type": "http.request", "body": b"", "more_body": False}
        while not {"account", "item", "basket"}.issubset(waiting):
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def main():
        gate, sent = service.create_app(), []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/quote", "headers": []}
        scope["query_string"] = b"user=1&item=1"
        async with client_of(gate) as client:
            other = asyncio.create_task(client.get("/quote", params={"user": 2, "item": 2}))
            await asyncio.create_task(gate(scope, receive, send))
            assert (await other).status_code == 200
        assert sent[0]["status"] == 499
        assert sorted(cancelled) == ["account", "basket", "item"]
        assert gate.n_in_flight == 0

    monkeypatch.setattr(service, "upstream", upstream)
    on_loop(in_time(main()))


# -- draining ---------------------------------------------------------------------------------------------


def test_draining_finishes_what_is_in_flight_and_refuses_what_is_new(on_loop, held):
    async def main():
        gate = service.create_app()
        held.append(asyncio.Event())
        async with client_of(gate) as client:
            accepted = [asyncio.create_task(client.get("/quote?user=1&item=2")) for _ in range(20)]
            await until_in_flight(gate, 20)
            drain = asyncio.create_task(gate.drain())
            await turns(5)
            refused = await client.get("/quote?user=1&item=2")
            assert (refused.status_code, refused.json()) == (503, {"error": "shutting down"})
            assert refused.headers["retry-after"] == "1"
            assert not drain.done()
            held[0].set()
            assert {response.status_code for response in await asyncio.gather(*accepted)} == {200}
            await drain
            assert (await client.get("/health")).status_code == 503

    on_loop(in_time(main()))


def test_draining_an_idle_service_is_over_at_once(on_asyncio):
    async def main():
        await service.create_app().drain()

    on_asyncio(in_time(main()))


def test_the_end_of_the_lifespan_waits_for_the_requests_in_flight(on_asyncio, held):
    async def main():
        gate, messages, sent = service.create_app(), asyncio.Queue(), asyncio.Queue()
        held.append(asyncio.Event())
        lifespan = asyncio.create_task(gate({"type": "lifespan", "state": {}}, messages.get, sent.put))
        messages.put_nowait({"type": "lifespan.startup"})
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        async with client_of(gate) as client:
            accepted = asyncio.create_task(client.get("/quote?user=1&item=2"))
            await until_in_flight(gate, 1)
            messages.put_nowait({"type": "lifespan.shutdown"})
            while not gate.draining:
                await asyncio.sleep(0)
            await turns(5)
            assert sent.empty()
            held[0].set()
            assert (await accepted).status_code == 200
        assert (await sent.get())["type"] == "lifespan.shutdown.complete"
        await lifespan

    on_asyncio(in_time(main()))


# -- as a process of its own ------------------------------------------------------------------------------


class Served(NamedTuple):
    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        return await eventually(self.process.poll)


async def eventually(look: Callable[[], Any]) -> Any:
    """What ``look()`` gives as soon as that is not None; it may be a coroutine function."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found is not None:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"nothing came of {look} in {PATIENCE} s")


@contextlib.asynccontextmanager
async def serving(folder: Path, *command: str) -> AsyncIterator[Served]:
    log = folder / "log"
    argv = [sys.executable, *command, "--port", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(argv, cwd=FOLDER, stdout=file, stderr=file)

    def port() -> int | None:
        assert process.poll() is None, log.read_text()
        found = re.search(r"running on http://127\.0\.0\.1:(\d+) ", log.read_text())
        return int(found[1]) if found else None

    try:
        yield Served(process, log, await eventually(port))
    finally:
        process.kill()
        process.wait()


async def terminated_amid_requests(served: Served, client: Any) -> list[Any]:
    """Send 30 requests that are answered, then SIGTERM amid 20 that are not yet; the tasks of these."""
    quick = await asyncio.gather(*(client.get(f"/quote?user={n}&item=5") for n in range(30)))
    assert [response.status_code for response in quick] == [200] * 30
    slow = [asyncio.create_task(client.get(f"/quote?user={n}&item=5&wait=0.7")) for n in range(20)]

    async def all_in_flight() -> bool | None:
        in_flight = (await client.get("/health")).json()["in_flight"]
        return True if in_flight == 21 else None  # this one counts as well

    await eventually(all_in_flight)
    served.process.send_signal(signal.SIGTERM)
    return slow


async def check_all_were_answered(served: Served, slow: list[Any]) -> None:
    responses = await asyncio.gather(*slow)
    assert [response.status_code for response in responses] == [200] * 20
    assert [response.json() for response in responses] == [await page_by_hand(n, 5) for n in range(20)]
    # uvicorn shuts down in good order, and then dies of the signal it was sent.
    assert await served.ended() == -signal.SIGTERM
    lines = served.log.read_text().splitlines()
    assert [line for line in lines if not re.match(r"INFO: +\S", line)] == []
    assert re.search(r"Application shutdown complete", served.log.read_text())


def test_sigterm_amid_requests_loses_none_and_new_ones_are_refused_with_503(on_asyncio, tmp_path):
    async def main():
        async with (
            serving(tmp_path, "app.py") as served,
            httpx.AsyncClient(base_url=served.url, timeout=PATIENCE) as client,
        ):
            slow = await terminated_amid_requests(served, client)

            async def refusal() -> Any:
                response = await client.get("/quote?user=1&item=5")
                return response if response.status_code != 200 else None

            assert (await eventually(refusal)).status_code == 503
            assert not any(request.done() for request in slow)
            await check_all_were_answered(served, slow)

    on_asyncio(in_time(main()))


def test_sigterm_amid_requests_loses_none_under_plain_uvicorn(on_asyncio, tmp_path):
    async def main():
        async with (
            serving(tmp_path, "-m", "uvicorn", "app:app", "--no-access-log") as served,
            httpx.AsyncClient(base_url=served.url, timeout=PATIENCE) as client,
        ):
            await check_all_were_answered(served, await terminated_amid_requests(served, client))

    on_asyncio(in_time(main()))


def test_the_load_test_tells_rates_latencies_errors_and_the_share_of_the_run(on_asyncio, tmp_path, capsys):
    async def main():
        async with serving(tmp_path, "app.py") as served:

            async def results(*arguments: str) -> tuple[int, str, str]:
                argv = ["--port", str(served.port), *arguments]
                code = await asyncio.to_thread(load.main, argv)
                return code, *capsys.readouterr()

            code, out, err = await results("--requests", "300", "--clients", "4")
            assert (code, err) == (0, "")
            assert re.match(r"300 requests in \d+\.\d\d s: [\d,]+ requests/s, 0 errors\n", out)
            assert re.search(r"^request +p50 +[\d.]+ ms +p99 +[\d.]+ ms$", out, re.MULTILINE)
            assert re.search(r"^graph run +p50 .*p99 .* [\d.]+% of the time of a request$", out, re.MULTILINE)

            code, out, err = await results("--requests", "5", "--path", "/health")
            assert (code, "graph run" in out) == (0, False)

            code, out, err = await results("--requests", "50", "--path", "/nowhere")
            assert (code, "50 times status 404" in out) == (1, True)

            code, out, err = await results("--wait", "10", "--seconds", "0.2")
            assert (code, out[:10]) == (1, "0 requests")
            assert err == "The 0.2 s are over; requests in flight are not counted.\n"

            served.process.terminate()
            await served.ended()
            code, out, err = await results("--clients", "3")
            assert (code, "3 times ConnectionRefusedError" in out) == (1, True)

    on_asyncio(in_time(main()))
