"""Long-running peers, each under a keeper: a process that starts the program, watches who uses it, and ends it.

A peer has a folder below `run/`: its state, `users/` with an empty file for each process that uses it, `keeper.pid`, and
`about.json` with what a user wants to know. The keeper ends the peer when the last user is gone, whatever way it went, and
the kernel ends the peer when the keeper dies. So nothing stays behind after a test that was killed.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from environments import Failure, Lock, cache

# A peer without users is kept that long: the next test binary is probably about to start.
LINGER_SECONDS = 15
STOP_SECONDS = 8
PR_SET_PDEATHSIG = 1


def folder(name):
    return cache() / "run" / name


def lock(name):
    return Lock(cache() / "run" / f"{name}.lock")


def started(pid):
    """When the process started, in clock ticks since boot; None when there is no such living process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def keeper_pid(name):
    """The pid of the living keeper, else None. A pid that was given to another process does not count."""
    try:
        pid, start = (folder(name) / "keeper.pid").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started(pid) == start else None


def use(name, pid):
    """Notes that PID uses the peer."""
    users = folder(name) / "users"
    users.mkdir(parents=True, exist_ok=True)
    (users / f"{pid}-{started(pid)}").touch()


def has_users(name):
    for file in (folder(name) / "users").glob("*"):
        pid, _, start = file.name.partition("-")
        if started(pid) == start:
            return True
        file.unlink(missing_ok=True)
    return False


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(name, command, env, about, ready, seconds=60):
    """Starts the peer's keeper, waits until the peer is READY, and stores what it is ABOUT. The caller holds the lock.

    READY is a URL that answers, or a function."""
    state = folder(name)
    spec = state / "spec.json"
    spec.write_text(json.dumps({"name": name, "command": [str(part) for part in command], "env": env}))
    keeper = subprocess.Popen([sys.executable, __file__, str(spec)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=open(state / "keeper.log", "ab"), start_new_session=True, cwd=state)
    (state / "keeper.pid").write_text(f"{keeper.pid} {started(keeper.pid)}")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if keeper.poll() is not None:
            break
        if ready() if callable(ready) else answers(ready):
            (state / "about.json").write_text(json.dumps(about))
            return
        time.sleep(0.1)
    tail = (state / "log").read_text(errors="replace")[-3000:] if (state / "log").exists() else ""
    stop(name)
    raise Failure(f"{name} is not ready in time; the end of its log:\n{tail}")


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        pass
    except OSError:
        return False
    return True


def about(name):
    return json.loads((folder(name) / "about.json").read_text())


def stop(name, keep=False):
    """Ends the peer and removes its state, unless that is to be kept."""
    if pid := keeper_pid(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS + 5
        while keeper_pid(name) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        if keeper_pid(name):
            os.kill(pid, signal.SIGKILL)
    if keep:
        (folder(name) / "keeper.pid").unlink(missing_ok=True)
    else:
        shutil.rmtree(folder(name), ignore_errors=True)


def forget_locks():
    """Removes the locks of peers that are gone; only for when nothing runs any more."""
    for path in (cache() / "run").glob("*.lock"):
        path.unlink(missing_ok=True)


def end_soon(name):
    """Lets the keeper end the peer and remove its state, and does not wait for it."""
    if pid := keeper_pid(name):
        (folder(name) / "remove").touch()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def names():
    return sorted(path.parent.name for path in (cache() / "run").glob("*/spec.json"))


def keep(spec_path):
    """The keeper's life."""
    spec = json.loads(pathlib.Path(spec_path).read_text())
    name, state = spec["name"], folder(spec["name"])
    libc = ctypes.CDLL(None, use_errno=True)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))

    def in_child():
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    with open(state / "log", "ab") as log:
        child = subprocess.Popen(spec["command"], env={**os.environ, **spec["env"]}, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, cwd=state, preexec_fn=in_child)
    unused_since = time.monotonic()
    while not ended and child.poll() is None:
        time.sleep(0.2)
        if has_users(name):
            unused_since = time.monotonic()
        elif time.monotonic() - unused_since > LINGER_SECONDS:
            with lock(name):
                # A user may have come between the look and the lock.
                if not has_users(name):
                    end(child)
                    shutil.rmtree(state, ignore_errors=True)
                    return
            unused_since = time.monotonic()
    end(child)
    if (state / "remove").exists():
        shutil.rmtree(state, ignore_errors=True)


def end(child):
    """Ends the child with its whole group: politely, then not."""
    for sig, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.argv[1])
