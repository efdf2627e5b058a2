"""Runs many commands of the clients in one process, because its start costs more than all of them.

usage: many_commands.py < a JSON list of lists of words, the program's name first
Prints a JSON list with an object for each command: whether it succeeded, what it printed, what it complained of.
The command `wait` waits until no image is being imported; the word <task> stands for the id of the first task.
"""

import contextlib
import importlib
import io
import json
import sys
import time

SHELLS = {"glance": "glanceclient.shell", "openstack": "openstackclient.shell"}


def run(program, arguments):
    shell = importlib.import_module(SHELLS[program])
    out, err = io.StringIO(), io.StringIO()
    # The clients look at standard input, and take it for a document if it is no terminal.
    sys.stdin = io.StringIO()
    sys.stdin.isatty = lambda: True
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if program == "glance":
                sys.argv = [program, *arguments]
                status = shell.main()
            else:
                status = shell.main(arguments)
        except SystemExit as end:
            status = end.code
    return {"ok": status in (None, 0), "out": out.getvalue(), "err": err.getvalue()}


def images():
    return importlib.import_module("openstack").connect().image


def wait():
    begun, service = time.monotonic(), images()
    while True:
        found = service.get("/images").json()["images"]
        busy = [image for image in found if image["status"] == "importing" or "os_glance_import_task" in image]
        if not busy:
            return {"ok": True, "out": "", "err": ""}
        if time.monotonic() - begun > 120:
            return {"ok": False, "out": json.dumps(busy), "err": "the imports have no end"}
        time.sleep(0.1)


def first_task():
    return images().get("/tasks?sort_key=created_at&sort_dir=asc&limit=1").json()["tasks"][0]["id"]


def run_line(line):
    if line == ["wait"]:
        return wait()
    return run(line[0], [first_task() if word == "<task>" else word for word in line[1:]])


print(json.dumps([run_line(line) for line in json.load(sys.stdin)]))
