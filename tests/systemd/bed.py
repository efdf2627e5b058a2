"""One instance of the test bed with the package under test: commands, files, requests from its network."""

import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
TESTBED = str(HERE / "testbed")
CLONE_NEWNET = 0x40000000
PORT = 9292
WORKERS = 3
# What an instance may keep, in memory: one test uploads several gigabytes.
SIZE = "6g"

# What the tests start from: the file of the package, with a known number of workers.
CONFIGURATION = f"""
[DEFAULT]
bind_host = 127.0.0.1
workers = {WORKERS}
node_staging_uri = file:///var/lib/glance/staging
[database]
connection = sqlite:////var/lib/glance/glance.db
[glance_store]
filesystem_store_datadir = /var/lib/glance/images
[service]
graceful_shutdown_timeout = 60
"""

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """A test that did not hold."""


def check(condition, *words):
    if not condition:
        raise Failed(" ".join(str(word) for word in words))


def until(what, seconds, condition):
    """The first true value of CONDITION, which is asked until then; SECONDS at most."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def testbed(*arguments, **more):
    return subprocess.run([TESTBED, *arguments], text=True, capture_output=True, stdin=subprocess.DEVNULL, **more)


class Instance:
    def __init__(self, release):
        self.release = release
        started = testbed("up", "--name", f"glance-{release}", "--unique", "--release", release, "--size", SIZE)
        check(started.returncode == 0, "the test bed does not boot:", started.stderr)
        self.name = started.stdout.strip()
        self.pid = 0
        self.refresh()

    def refresh(self):
        self.pid = json.loads(testbed("status", "--name", self.name).stdout)["pid"]

    def down(self):
        testbed("down", "--name", self.name)

    def outside(self, *command, timeout=120):
        """The output of a program of this host that sees the instance's network."""
        done = testbed("net", "--name", self.name, "--", *map(str, command), timeout=timeout)
        check(done.returncode == 0, f"status {done.returncode} of: {command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def reboot(self):
        done = testbed("reboot", "--name", self.name)
        check(done.returncode == 0, done.stderr)
        self.refresh()

    # ---- commands and files

    def run(self, command, expect=0, timeout=60):
        """A shell command inside; its output. EXPECT: the status, None for any."""
        done = testbed("run", "--name", self.name, "--timeout", str(timeout), "--", "/bin/sh", "-c", command)
        if expect is not None:
            check(done.returncode == expect, f"status {done.returncode} instead of {expect} of: {command}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def succeeds(self, command):
        return testbed("run", "--name", self.name, "--", "/bin/sh", "-c", command).returncode == 0

    @property
    def root(self):
        return pathlib.Path(f"/proc/{self.pid}/root")

    def write(self, path, text, mode=0o644):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def copy(self, file, path):
        done = testbed("copy", "--name", self.name, str(file), path)
        check(done.returncode == 0, done.stderr)

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()

    def install(self, *packages):
        done = testbed("install", "--name", self.name, *packages)
        check(done.returncode == 0, "installation failed:", done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout + done.stderr

    # ---- the service

    def show(self, unit, name):
        return self.run(f"systemctl show --property={name} --value '{unit}'").strip()

    def active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def workers(self, state="active"):
        listed = self.run(f"systemctl list-units --plain --no-legend --full --state={state} 'glance-api@*.service'")
        return sorted(line.split()[0] for line in listed.splitlines())

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def configure(self, extra="", base=CONFIGURATION):
        """Writes glance-api.conf: the base, then EXTRA, whose options win."""
        self.write("/etc/glance/glance-api.conf", base + extra)
        self.run("chown root:glance /etc/glance/glance-api.conf; chmod 640 /etc/glance/glance-api.conf")

    def drop_in(self, unit, text):
        self.write(f"/etc/systemd/system/{unit}.d/test.conf", text)

    def reset(self, running=True):
        """The state in which each test begins: only the socket listens; or, RUNNING, all workers serve."""
        self.run("systemctl thaw system-glance.slice >/dev/null 2>&1; systemctl kill -s KILL 'glance-api@*.service' 2>/dev/null; "
                 "systemctl stop glance-api.socket glance-api.service glance-api-activation.service 'glance-api@*.service' 2>/dev/null; "
                 "rm -rf /etc/systemd/system/glance-api*.d /etc/systemd/system/glance-api.service.wants "
                 "/etc/glance/glance-api.conf.d /etc/systemd/system/lonely.service; "
                 "systemctl reset-failed", expect=None)
        self.configure()
        self.run("systemctl daemon-reload && systemctl start glance-api.socket")
        if running:
            self.run("systemctl start glance-api.service")
            check(len(self.workers()) == WORKERS, "workers:", self.workers(), self.log())

    def log(self, lines=40):
        return self.run(f"journalctl --no-pager -n {lines} -u 'glance-api*'", expect=None)

    def journal(self, match):
        out = self.run(f"journalctl --no-pager -o json {match}", expect=None)
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    # ---- requests

    @contextlib.contextmanager
    def network(self):
        """This thread is in the instance's network; sockets that it opens stay there."""
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.pid}/ns/net") as theirs:
            enter(theirs)
            try:
                yield
            finally:
                enter(own)

    def connect(self, port=PORT, timeout=30, host="127.0.0.1"):
        with self.network():
            return socket.create_connection((host, port), timeout=timeout)

    def request(self, method="GET", path="/v2/images", body=None, headers=None, port=PORT, timeout=30, host="127.0.0.1"):
        """A request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        connection.sock = self.connect(port, timeout, host)
        try:
            connection.request(method, path, body=body, headers={"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def serves(self, port=PORT, timeout=30):
        status, _, body = self.request(port=port, timeout=timeout)
        check(status == 200, "GET /v2/images:", status, body[:300])
        return body

    def create_image(self, data=None, disk_format="raw"):
        fields = {"name": "test", "disk_format": disk_format, "container_format": "bare"}
        status, _, body = self.request("POST", body=json.dumps(fields), headers={"Content-Type": "application/json"})
        check(status == 201, "create:", status, body)
        image = json.loads(body)["id"]
        if data is not None:
            self.upload(image, data)
        return image

    def upload(self, image, data):
        status, _, body = self.request("PUT", f"/v2/images/{image}/file", body=data, timeout=120,
                                       headers={"Content-Type": "application/octet-stream"})
        check(status == 204, "upload:", status, body)

    def import_staged(self, image, data):
        """Stages data and begins its import."""
        status, _, body = self.request("PUT", f"/v2/images/{image}/stage", body=data,
                                       headers={"Content-Type": "application/octet-stream"})
        check(status == 204, "stage:", status, body)
        self.begin_import(image, {"name": "glance-direct"})

    def begin_import(self, image, method):
        status, _, body = self.request("POST", f"/v2/images/{image}/import", body=json.dumps({"method": method}),
                                       headers={"Content-Type": "application/json"})
        check(status == 202, "import:", status, body)

    def image(self, image):
        return json.loads(self.request(path=f"/v2/images/{image}")[2])


def enter(namespace):
    if _libc.setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
