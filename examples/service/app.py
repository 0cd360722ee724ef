"""A web service that runs a graph of ten tasks for every request, from one plan.

``GET /quote?user=7&item=3`` answers what an item costs a customer.  The graph is planned once, when this file
is imported; each request is a run of that plan.  There are two ways to give the bodies their request:

``/quote``        in a context variable: a body runs in a copy of the context of the request that started it
``/quote/bound``  in the call: a mapping of each task's name to a function that has the request bound to it

Start it with ``python app.py``, or with any ASGI server as ``app:app``.
"""

import argparse
import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import penstock

#: Seconds that requests in flight are given to finish once the service shuts down.
GRACE = 10.0

VAT = {"AT": 20, "DE": 19, "FR": 20}

logger = logging.getLogger("uvicorn.error")

# -- the request, and how a body gets at it -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks for; `wait` and `fail` are for trying things out."""

    user: int
    item: int
    wait: float = 0.0  # seconds that each other service takes to answer
    fail: str = ""  # the other service that does not answer

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "Query":
        try:
            wait = float(given.get("wait", 0.0))
            if not 0.0 <= wait <= 10.0:
                raise ValueError(f"wait={wait} is not from 0 to 10")
            return cls(int(given["user"]), int(given["item"]), wait, given.get("fail", ""))
        except (KeyError, ValueError) as error:
            raise HTTPException(400, f"bad query, give user=NUMBER&item=NUMBER: {error!r}") from None


Body = TypeVar("Body", bound=Callable[..., Any])

QUERY: ContextVar[Query] = ContextVar("QUERY")
GRAPH = penstock.TaskGraph()
BODIES: dict[str, Callable[..., Any]] = {}


def task(*needs: str) -> Callable[[Body], Body]:
    """Make a task of a function of the query and of the results of the tasks it needs."""

    def add(body: Body) -> Body:
        BODIES[body.__name__] = body
        GRAPH.add_task(body.__name__, lambda *results: body(QUERY.get(), *results), depends_on=needs)
        return body

    return add


# -- the tasks ----------------------------------------------------------------------------------------------


class Account(NamedTuple):
    user: int
    country: str


class Item(NamedTuple):
    number: int
    cents: int
    grams: int


class UpstreamError(ConnectionError):
    """Another service did not answer."""


async def upstream(query: Query, name: str) -> None:
    """Stand for a call of another service."""
    if query.wait:
        await asyncio.sleep(query.wait)
    if query.fail == name:
        raise UpstreamError(f"the {name} service does not answer")


@task()
async def account(query: Query) -> Account:
    await upstream(query, "account")
    return Account(query.user, sorted(VAT)[query.user % len(VAT)])


@task()
async def item(query: Query) -> Item:
    await upstream(query, "item")
    return Item(query.item, 500 + query.item * 37 % 9500, 100 + query.item * 91 % 4900)


@task()
async def basket(query: Query) -> int:
    await upstream(query, "basket")
    return query.user % 5


@task("item")
async def stock(query: Query, item: Item) -> int:
    await upstream(query, "stock")
    return item.grams % 40


@task("item")
async def related(query: Query, item: Item) -> list[int]:
    await upstream(query, "related")
    return [item.number + 1, item.number + 2]


@task("item", "account")
def price(query: Query, item: Item, account: Account) -> int:
    return item.cents + (50 if account.country == "FR" else 0)


@task("price", "basket")
def discount(query: Query, price: int, basket: int) -> int:
    return -price // 10 if basket >= 3 else 0


@task("item", "stock", "account")
async def shipping(query: Query, item: Item, stock: int, account: Account) -> int:
    await upstream(query, "shipping")
    return 390 + item.grams // 10 + (200 if stock == 0 else 0)


@task("price", "discount", "account")
def tax(query: Query, price: int, discount: int, account: Account) -> int:
    return (price + discount) * VAT[account.country] // 100


@task("account", "item", "stock", "related", "price", "discount", "shipping", "tax")
def page(query: Query, account: Account, item: Item, stock: int, related: list[int], *cents: int) -> dict[str, Any]:
    bill = dict(zip(("price", "discount", "shipping", "tax"), cents, strict=True))
    about = {"user": account.user, "item": item.number, "in_stock": stock > 0, "related": related}
    return about | bill | {"total": sum(cents)}


PLAN = GRAPH.plan()

# -- from request to response -------------------------------------------------------------------------------


async def quote(request: Request) -> Response:
    """Run the graph's own functions, which read the context variable."""
    QUERY.set(Query.parse(request.query_params))  # the server runs each request in a context of its own
    return await answer(request, PLAN.run(pass_results=True, keep_results="sinks"))


async def quote_bound(request: Request) -> Response:
    """Run functions made for this request."""
    query = Query.parse(request.query_params)
    bodies = {name: partial(body, query) for name, body in BODIES.items()}
    return await answer(request, PLAN.run(bodies, pass_results=True, keep_results="sinks"))


async def answer(request: Request, run: Coroutine[Any, Any, penstock.ExecutionReport]) -> Response:
    """Await a run, and cancel it if the client hangs up."""
    report = None
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(until_disconnected(request))
            report = await run
            watcher.cancel()
    except* ClientDisconnect:
        pass
    if report is None:
        return Response(status_code=499)  # nobody reads it
    if report.execution_state != "completed":
        return failure(report)
    timing = f"run;dur={report.execution_duration * 1e3:.4f}"
    return JSONResponse(report.results["page"], headers={"Server-Timing": timing})


async def until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def failure(report: penstock.ExecutionReport) -> Response:
    """Say which task failed, why, and along which path that reached the page."""
    error = report.record_of("page").exception
    path: tuple[Any, ...] = ("page",)
    if isinstance(error, penstock.DependencyFailureError):
        path, error = error.path, error.root_cause
    logger.error("task %s failed", path[0], exc_info=error)
    return JSONResponse(
        {"task": path[0], "error": f"{type(error).__name__}: {error}", "path": path},
        status_code=502 if isinstance(error, UpstreamError) else 500,
    )


async def health(request: Request) -> Response:
    return JSONResponse({"in_flight": request.app.state.gate.n_in_flight})


# -- shutting down ------------------------------------------------------------------------------------------


class Gate:
    """Counts the requests in flight; once told to drain, it lets these finish and refuses new ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.draining = False
        self.n_in_flight = 0
        self._empty = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self.draining:
            headers = {"Retry-After": "1", "Connection": "close"}
            await JSONResponse({"error": "shutting down"}, 503, headers)(scope, receive, send)
        else:
            self.n_in_flight += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.n_in_flight -= 1
                if self.draining and not self.n_in_flight:
                    self._empty.set()

    async def drain(self) -> None:
        """Refuse new requests with status 503; return when the last one in flight is answered."""
        self.draining = True
        if self.n_in_flight:
            await self._empty.wait()


def create_app() -> Gate:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await gate.drain()

    routes = [Route("/quote", quote), Route("/quote/bound", quote_bound), Route("/health", health)]
    inner = Starlette(routes=routes, lifespan=lifespan)
    gate = inner.state.gate = Gate(inner)
    return gate


class Server(uvicorn.Server):
    """uvicorn closes its socket before anything else; this one answers with 503 while it drains."""

    def __init__(self, gate: Gate, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.gate = gate

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self.gate.drain()
        await super().shutdown(sockets)


app = create_app()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve quotes on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    port = parser.parse_args().port
    # After the grace uvicorn cancels what is left, and with the requests their runs.
    config = uvicorn.Config(app, port=port, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
    with contextlib.suppress(KeyboardInterrupt):
        Server(app, config).run()


if __name__ == "__main__":
    main()
