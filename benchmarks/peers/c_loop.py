"""The plain C loop (`c_loop.c`), compiled on first use into ``build/peers`` and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("c_loop.c")
CACHE = Path(__file__).parents[2] / "build" / "peers"
FLAGS = ["-O3", "-shared", "-fPIC"]
ERRORS = {
    1: "out of memory",
    2: "indptr is not a row of ascending offsets",
    3: "index out of range",
    4: "cycle",
}

compiler = shutil.which(os.environ.get("CC", "cc"))

label = "C loop"
missing = None if compiler else "no C compiler (cc) was found"


class Plan(ctypes.Structure):
    _fields_ = [
        ("n", ctypes.c_int32),
        ("n_stages", ctypes.c_int32),
        ("m", ctypes.c_int64),
        *((name, ctypes.POINTER(ctypes.c_int32)) for name in ("order", "position", "stage", "in_degree")),
        *((name, ctypes.POINTER(ctypes.c_int32)) for name in ("succ_start", "succ")),
    ]

    def __del__(self):
        library().plan_free(ctypes.byref(self))


def build_csr(indptr, indices):
    plan = Plan()
    error = library().plan_build(len(indptr) - 1, len(indices), _address(indptr), _address(indices), ctypes.byref(plan))
    if error:
        raise ValueError(ERRORS[error])
    return plan


def csr_facts(plan):
    return plan.n, plan.m, plan.n_stages


@cache
def library() -> ctypes.CDLL:
    digest = hashlib.sha256(SOURCE.read_bytes() + f"{compiler} {FLAGS}".encode()).hexdigest()[:12]
    path = CACHE / f"c_loop-{sysconfig.get_platform()}-{digest}.so"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, "-o", fresh, SOURCE], check=True)
        fresh.replace(path)
    loaded = ctypes.CDLL(str(path))
    loaded.plan_build.argtypes = [ctypes.c_int32, ctypes.c_int64, *[ctypes.c_void_p] * 3]
    loaded.plan_build.restype = ctypes.c_int
    loaded.plan_free.argtypes = [ctypes.c_void_p]
    loaded.plan_free.restype = None
    return loaded


def _address(numbers) -> int:
    return numbers.buffer_info()[0]
