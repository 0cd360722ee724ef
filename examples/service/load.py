"""A load test for the service in app.py on this machine.

Some clients, each with a connection of its own, ask one request after the other until the requests or the
time are used up::

    python load.py --requests 20000 --clients 32 --seconds 30
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass
class Tally:
    latencies: list[float] = field(default_factory=list)  # seconds, of the requests that were answered well
    runs: list[float] = field(default_factory=list)  # seconds that the server says the graph run took
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


async def load(port: int, paths: Iterator[str], clients: int, seconds: float) -> Tally:
    """Fetch the paths with several clients at once, for so many seconds at most."""
    tally = Tally()
    started = time.perf_counter()
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(client(port, paths, tally) for _ in range(clients)))
    except TimeoutError:
        print(f"The {seconds:g} s are over; requests in flight are not counted.", file=sys.stderr)
    tally.seconds = time.perf_counter() - started
    return tally


async def client(port: int, paths: Iterator[str], tally: Tally) -> None:
    """Fetch one path after the other; a broken connection is replaced, a refused one ends the client."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError as error:
            tally.errors[type(error).__name__] += 1
            return
        try:
            for path in paths:
                await fetch(reader, writer, path, tally)
            return
        except (OSError, EOFError) as error:
            tally.errors[type(error).__name__] += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def fetch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, tally: Tally) -> None:
    started = time.perf_counter()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    await reader.readexactly(int(headers["content-length"]))
    seconds = time.perf_counter() - started
    code = status.split()[1]
    if code != "200":
        tally.errors[f"status {code}"] += 1
        return
    tally.latencies.append(seconds)
    _, found, milliseconds = headers.get("server-timing", "").partition("run;dur=")
    if found:
        tally.runs.append(float(milliseconds) / 1e3)


def show(tally: Tally) -> None:
    answered, n_errors = len(tally.latencies), tally.errors.total()
    rate = answered / tally.seconds
    print(f"{answered:,} requests in {tally.seconds:.2f} s: {rate:,.0f} requests/s, {n_errors:,} errors")
    for kind, count in tally.errors.most_common():
        print(f"  {count:,} times {kind}")
    if tally.latencies:
        print(f"request    {percentiles(tally.latencies)}")
    if tally.runs:
        share = sum(tally.runs) / sum(tally.latencies)
        print(f"graph run  {percentiles(tally.runs)}   {share:.1%} of the time of a request")


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1e3 for part in (0.5, 0.99))
    return f"p50 {p50:8.3f} ms   p99 {p99:8.3f} ms"


def main(argv: list[str] | None = None) -> int:
    """Run the load test; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description="Load the service on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--requests", type=int, default=10_000, help="so many at most (default: 10,000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="so long at most (default: 30)")
    parser.add_argument("--clients", type=int, default=16, help="connections at once (default: 16)")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds that another service takes")
    parser.add_argument("--path", default="/quote", help="or /quote/bound, or /health (no graph)")
    given = parser.parse_args(argv)
    paths = (f"{given.path}?user={n % 997}&item={n}&wait={given.wait}" for n in range(given.requests))
    tally = asyncio.run(load(given.port, paths, given.clients, given.seconds))
    show(tally)
    return 1 if tally.errors or not tally.latencies else 0


if __name__ == "__main__":
    sys.exit(main())
