"""The compiled modules and the four build modes; all else is in pyproject.toml.

``PENSTOCK_BUILD`` chooses the mode (default ``release``):

release   -O3, no debug information
debug     -O0 -g, bounds checks, and the core's invariants checked after every event
trace     line tracing for coverage; the generated C stays beside the sources, where coverage looks for it
asan      AddressSanitizer and UndefinedBehaviorSanitizer; run with both libraries preloaded
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

MODES = {
    "release": (["-O3", "-g0"], [], {}),
    "debug": (["-O0", "-g"], [], {"PENSTOCK_CHECK": "1"}),
    "trace": (["-O0", "-g"], [], {"PENSTOCK_CHECK": "1", "CYTHON_TRACE_NOGIL": "1", "CYTHON_USE_SYS_MONITORING": "0"}),
    "asan": (
        ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"],
        ["-fsanitize=address,undefined"],
        {"PENSTOCK_CHECK": "1"},
    ),
}
# Cython 3.3 drops references that it has not taken yet when making an object with keywords runs out of memory; the
# older way of calling `__cinit__` and `__init__` does not.
ALWAYS = {"CYTHON_VECTORCALL_TPNEW": "0"}
MODULES = ["columns", "deadlines", "dispatch", "future", "graph", "orders", "plan", "ready", "rules", "run", "step"]
CORE = Path("csrc/penstock/_core")

mode = os.environ.get("PENSTOCK_BUILD", "release")
if mode not in MODES:
    sys.exit(f"PENSTOCK_BUILD={mode!r} is not a build mode; choose one of {', '.join(MODES)}")
compile_args, link_args, macros = MODES[mode]
if os.name == "nt":
    compile_args, link_args = ["/O2"], []
checked = mode != "release"
traced = mode == "trace"

# Listed as `depends` so that the sdist carries every source and a changed .pxd or .h rebuilds its users.
sources = sorted(str(path) for pattern in ("*.pyx", "*.pxd", "*.h") for path in CORE.glob(pattern))

extensions = [
    Extension(
        f"penstock._core.{name}",
        [str(CORE / f"{name}.pyx")],
        include_dirs=[str(CORE)],
        depends=sources,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=list({**ALWAYS, **macros}.items()),
    )
    for name in MODULES
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["csrc"],
        # Timestamps do not see changed directives, so every mode has a folder of its own.
        build_dir=None if traced else f"build/cython-{mode}",
        force=traced,
        annotate=traced,
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "wraparound": False,
            "cdivision": True,
            "boundscheck": checked,
            "initializedcheck": checked,
            "linetrace": traced,
        },
    )
)
