"""Runs many commands of a client in one process, because its start costs more than all of them.

usage: many_commands.py PROGRAM < a JSON list of lists of arguments
Prints a JSON list with an object for each command: whether it succeeded, what it printed, what it complained of.
"""

import contextlib
import importlib
import io
import json
import sys

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


name, lines = sys.argv[1], json.load(sys.stdin)
print(json.dumps([run(name, line) for line in lines]))
