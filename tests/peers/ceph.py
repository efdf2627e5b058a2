"""A real Ceph of one monitor and one OSD, from Debian's packages, with cephx as operators have it.

The OSD keeps its data in a sparse file. There is no manager: RBD needs none, and it takes longer to start than all the
rest. There are two pools: `images`, and `vms`, where others have their clones. The user `client.glance` has the rights that
Ceph's documentation gives it, which are none on `vms`.

    ceph.conf               for clients; names the keyring of every user beside it
    client.admin.keyring    for a look by the commands ceph and rbd
    client.glance.keyring   what glance-api logs in with
"""

import contextlib
import ctypes
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import uuid

import processes
from environments import cache, run

POOL = "images"
OTHERS = "vms"
USER = "glance"


def up(name, user):
    """Starts the instance NAME unless it runs, notes that the process USER uses it, and tells about it."""
    with processes.lock(name):
        if not processes.keeper_pid(name):
            start(name)
        processes.use(name, user)
        return processes.about(name)


def away(name):
    """Ends the daemons of the instance NAME but keeps their data, for `again`."""
    with processes.lock(name):
        processes.stop(name, keep=True)


def again(name):
    """Starts the daemons of the instance NAME anew at their old address with their old data."""
    with processes.lock(name):
        told = processes.about(name)
        launch(name, told)


def start(name):
    state = processes.folder(name)
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    fsid = str(uuid.uuid4())
    conf = write_conf(state, fsid, processes.free_port())
    keys(state)
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address(conf), state / "monmap")
    run("ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", state / "monmap", "--keyring", state / "all.keyring")
    (state / "osd").mkdir()
    launch(name, {"name": name, "conf": str(conf), "fsid": fsid, "pool": POOL, "user": USER, "state": str(state),
                  "mon_host": address(conf), "keyring": str(state / f"client.{USER}.keyring")})


def launch(name, told):
    processes.launch(name, [sys.executable, __file__, told["state"]], {}, told, lambda: serves(told["conf"]),
                     seconds=180)


def write_conf(state, fsid, port):
    conf = state / "ceph.conf"
    conf.write_text(f"""[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}/0]
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = {state}/$name.keyring
admin_socket =
log_to_stderr = true
err_to_stderr = true
log_file =
mon_cluster_log_file =
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_osd_min_down_reporters = 1
# A client that is gone holds its images for this long; thirty seconds as Ceph comes, which no test shall wait for.
osd_client_watch_timeout = 5
osd_memory_target = 1073741824
[mon]
mon_data = {state}/mon
[osd]
osd_data = {state}/osd
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_objectstore = bluestore
bluestore_block_size = 10737418240
bluestore_block_db_create = false
""")
    return conf


def address(conf):
    line = next(line for line in conf.read_text().splitlines() if line.startswith("mon_host"))
    return line.split("=")[1].strip()


def keys(state):
    """A keyring for each user, and one of all of them for the new monitor."""
    users = {
        "mon.": ("--cap", "mon", "allow *"),
        "client.admin": ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"),
        "osd.0": ("--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"),
        f"client.{USER}": ("--cap", "mon", "profile rbd", "--cap", "osd", f"profile rbd pool={POOL}"),
    }
    everyone = state / "all.keyring"
    run("ceph-authtool", "--create-keyring", everyone)
    for user, rights in users.items():
        ring = state / f"{user}.keyring"
        run("ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", user, *rights)
        run("ceph-authtool", everyone, "--import-keyring", ring)


def python_path():
    """A folder with Debian's modules `rados` and `rbd` alone, for another interpreter of the same version."""
    place = cache() / "ceph-python"
    place.mkdir(parents=True, exist_ok=True)
    for module in ("rados", "rbd"):
        file = f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
        with contextlib.suppress(FileExistsError):
            (place / file).symlink_to(pathlib.Path("/usr/lib/python3/dist-packages") / file)
    return place


def serves(conf):
    """Whether a client gets an answer from the pool."""
    asked = subprocess.run(["rbd", "-c", conf, "--id", USER, "-p", POOL, "--client-mount-timeout", "5",
                            "--rados-osd-op-timeout", "5", "ls"], capture_output=True)
    return asked.returncode == 0


def main(state):
    """What the keeper runs: the daemons, for as long as all of them live."""
    state = pathlib.Path(state)
    conf = state / "ceph.conf"
    libc = ctypes.CDLL(None)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))

    def daemon(program, id):
        return subprocess.Popen([program, "-c", conf, "-i", id, "-f"],
                                preexec_fn=lambda: libc.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL))

    children = [daemon("ceph-mon", "a")]
    if not (state / "osd/ready").exists():
        make_osd(conf)
    children.append(daemon("ceph-osd", "0"))
    if POOL not in ceph(conf, "osd", "pool", "ls").split():
        ceph(conf, "osd", "pool", "create", OTHERS, "1", "1")
        ceph(conf, "osd", "pool", "create", POOL, "8", "8")
        run("rbd", "-c", conf, "pool", "init", POOL)
    while not ended and all(child.poll() is None for child in children):
        time.sleep(0.1)
    for child in reversed(children):
        child.terminate()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)


def make_osd(conf):
    id = str(uuid.uuid4())
    ceph(conf, "osd", "new", id)
    run("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", id)


def ceph(conf, *arguments):
    return subprocess.run(["ceph", "-c", conf, "--connect-timeout", "30", *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main(sys.argv[1])
