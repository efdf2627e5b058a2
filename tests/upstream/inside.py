"""Runs upstream's tests, each in a process of its own; `run` starts this as the first process of its namespaces.

usage: inside.py PROGRAM DATABASE KNOWN [WORD...]; DATABASE has upstream's tables and no rows.
"""

import contextlib
import logging
import os
import pathlib
import signal
import sys
import time
import unittest

import harness
from glance.tests import functional

PACKAGE = "glance.tests.functional."
# Upstream runs these one after the other: each ends the scrubbers of all.
SERIAL = PACKAGE + "serial."
JOBS = 2
# Longer than any test waits for something.
SECONDS = 120
SHOWN_BYTES = 6000

# What cannot tell anything about another process, by how its name begins.
LEFT_OUT = {
    "db.": "calls upstream's own functions",
    "image_cache.": "calls upstream's own functions",
    "test_glance_manage.": "runs upstream's own tool",
    "test_logging.": "looks at the log of its own process",
    "test_sqlite.": "looks at tables that upstream's own tool has made",
    "serial.test_scrubber.TestScrubber.test_scrubber_restore_image_non_exist": "runs upstream's own tool alone",
    "serial.test_scrubber.TestScrubber.test_scrubber_restore_image_with_daemon_": "runs upstream's own tool alone",
    "v2.test_images.TestImportProxy.": "replaces the HTTP client of its own process",
    "v2.test_images_api_policy.TestImagesPolicy.test_image_update_locations": "replaces what looks at locations",
    "v2.test_images_import_locking.": "replaces what writes data, or the clock",
    "v2.test_parallel_store_import.TestParallelStoreImport.test_parallel_signed_import_success":
        "replaces what verifies signatures",
}


def found():
    """All tests by their names, the serial ones first, as they take longest."""
    folder = pathlib.Path(functional.__file__).parent
    files = sorted(path.relative_to(folder).with_suffix("") for path in folder.rglob("test_*.py"))
    modules = [module for file in files if not is_left_out((module := PACKAGE + ".".join(file.parts)) + ".")]
    loader = unittest.TestLoader()
    tests = {test.id(): test for module in modules for test in flat(loader.loadTestsFromName(module))}
    for error in loader.errors:
        print(error, flush=True)
    names = sorted(tests, key=lambda name: (not name.startswith(SERIAL), name))
    return {name: tests[name] for name in names if not is_left_out(name)}


def flat(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flat(item)
        else:
            yield item


def is_left_out(name):
    return name.removeprefix(PACKAGE).startswith(tuple(LEFT_OUT))


def start(test, program, database):
    """The id of a new process, which ends with 0 when the test has passed; what it says is in the test's log."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # A group that can be ended as a whole.
        os.setsid()
        signal.alarm(SECONDS)
        log = os.open(log_of(test.id()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        harness.install(program, database, test.id())
        result = unittest.TestResult()
        test.run(result)
        for _, text in result.errors + result.failures + result.skipped:
            print(text)
        sys.stdout.flush()
        os._exit(0 if result.testsRun and result.wasSuccessful() and not result.skipped else 1)
    except BaseException as error:
        print(repr(error), flush=True)
    finally:
        os._exit(2)


def log_of(name):
    return f"{name}.log"


def end_of_log(name):
    log = pathlib.Path(log_of(name))
    return log.read_text(errors="replace")[-SHOWN_BYTES:] if log.exists() else "there is no such test"


def next_of(waiting, running):
    is_serial_busy = any(name.startswith(SERIAL) for name in running)
    return next((name for name in waiting if not (is_serial_busy and name.startswith(SERIAL))), None)


def run(tests, program, database):
    """The names of the tests that pass."""
    waiting, running, passed = list(tests), {}, set()
    while waiting or running:
        while len(running) < JOBS and (name := next_of(waiting, [name for name, _ in running.values()])):
            waiting.remove(name)
            running[start(tests[name], program, database)] = name, time.monotonic()
        # Orphans come to the first process as well.
        pid, status = os.wait()
        if pid not in running:
            continue
        name, since = running.pop(pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        is_late = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
        outcome = "timed out" if is_late else "failed" if status else "passed"
        print(f"{outcome} after {time.monotonic() - since:.1f} s: {name}", flush=True)
        if outcome == "passed":
            passed.add(name)
    return passed


def main():
    program, database, known_file, *words = sys.argv[1:]
    # Processes are ended by their groups, and tests end some by their names.
    if os.getpid() != 1:
        sys.exit("only as the first process of a namespace: use tests/upstream/run")
    logging.disable(logging.CRITICAL)

    def wanted(names):
        return {name for name in names if not words or any(word in name for word in words)}

    tests = found()
    asked = wanted(tests)
    known = wanted(line for line in pathlib.Path(known_file).read_text().splitlines() if not line.startswith("#"))
    passed = run({name: test for name, test in tests.items() if name in asked}, program, database)
    for name in sorted(passed - known):
        print(f"passes newly: {name}")
    lost = sorted(known - passed)
    # Who asks for some tests wants to know about all of them.
    for name in sorted(asked - passed - known) if words else []:
        print(f"does not pass: {name}\n{end_of_log(name)}")
    for name in lost:
        print(f"does not pass any more: {name}\n{end_of_log(name)}")
    print(f"{len(passed)} passed, {len(lost)} failed")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
