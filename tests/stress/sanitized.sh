#!/bin/sh
# Build the core with AddressSanitizer and UndefinedBehaviorSanitizer and run its tests, which takes about seven minutes.
#
#     PYTHON=.venv-test/bin/python tests/stress/sanitized.sh [options for pytest]
#
# Needs gcc and what the tests need.  The build goes to build/asan, beside whatever is installed.  The first report of
# either sanitizer ends the run with a stack trace and a status that is not 0.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python}

PENSTOCK_BUILD=asan "$PYTHON" setup.py -q build --build-lib build/asan

# Allocations that Python keeps for itself would hide their ends; and what Python itself never frees is no leak of ours.
export PYTHONMALLOC=malloc PYTHONPATH="$PWD/build/asan"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export LD_PRELOAD

# Left out: test_flat_references counts the blocks of Python's own allocator, and the others run tens of thousands of
# tasks, after each of which this build checks the invariants of the whole run.
exec "$PYTHON" -m pytest --timeout 600 \
    -k "not test_flat_references and not test_trap_6 and not test_trap_7_bodies and not linear and not one_request_each \
        and not after_the_shutdown and not many_attempts and not sd4 and not a_million" \
    tests/core tests/step tests/dispatch tests/scheduler tests/formats tests/policies tests/contract "$@"
