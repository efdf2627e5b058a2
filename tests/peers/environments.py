"""Python environments of the peers: exactly the packages of a lock file, below the cache directory."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent

# What each lock file was made from.
#   server: glance==33.0.0 keystone==30.0.0 barbican==23.0.0 uwsgi==2.0.31 pymysql psycopg2-binary, and for
#           upstream's own tests: ddt fixtures testtools xattr
#   client: python-openstackclient==10.5.0 python-glanceclient==4.13.0 openstacksdk==4.22.0 tempest==47.0.0
#           glance-tempest-plugin==0.17.0
LOCK_FILES = {"server": HERE / "server.txt", "client": HERE / "client.txt"}


class Failure(Exception):
    """Something that ends the command with a message."""


def cache():
    """The folder for everything that outlives a run and can be made again."""
    if own := os.environ.get("GLANCE_TEST_CACHE"):
        return pathlib.Path(own)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "glance-api"


def run(*command, **options):
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run([str(part) for part in command], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


class Lock:
    """Holds a file lock, so that test binaries that start together do the work once."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def place(name):
    """Where the environment lies: its name holds a digest of the lock file and of the interpreter."""
    digest = hashlib.sha256(LOCK_FILES[name].read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache() / "python" / f"{name}-{digest}"


def ready(name):
    """The environment's bin folder, made on first use. A broken attempt is thrown away and made again."""
    folder = place(name)
    with Lock(cache() / "python" / f"{name}.lock"):
        if not (folder / "complete").exists():
            print(f"peers: installing the {name} packages into {folder}", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            run(sys.executable, "-m", "venv", folder)
            run(folder / "bin/pip", "install", "-q", "--no-deps", "-r", LOCK_FILES[name])
            (folder / "complete").touch()
    return folder / "bin"
