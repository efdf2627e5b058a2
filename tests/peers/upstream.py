"""Upstream's Image service from its released package, served by uWSGI as its documentation says."""

import configparser
import hashlib
import pathlib
import shutil

import ceph
import environments
import processes
from environments import Lock, cache, run


def up(name, user, conf, database):
    """Starts an instance with the configuration CONF, whose SQLite database is to lie at DATABASE.
    NAME belongs to one user alone, so nothing is locked."""
    conf, database = pathlib.Path(conf), pathlib.Path(database)
    processes.stop(name)
    processes.folder(name).mkdir(parents=True)
    bin = environments.ready("server")
    if not database.exists():
        shutil.copy(empty_database(bin), database)
    write_paste(bin, conf)
    port = read(conf).get("DEFAULT", "bind_port")
    url = f"http://127.0.0.1:{port}"
    processes.use(name, user)
    processes.launch(name, [
        bin / "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--module", "glance.wsgi.api:application", "--master",
        "--processes", "1", "--threads", "4", "--enable-threads", "--lazy-apps", "--die-on-term", "--buffer-size",
        "65535", "--http-auto-chunked", "--http-chunked-input", "--http-raw-body", "--add-header",
        "Connection: close", "--socket-timeout", "60", "--listen", "100"],
        {"OS_GLANCE_CONFIG_DIR": str(conf.parent), "OS_GLANCE_CONFIG_FILES": conf.name,
         "PYTHONPATH": str(ceph.python_path())},
        {"name": name, "url": url, "state": str(processes.folder(name)),
         "log": str(processes.folder(name) / "log")}, f"{url}/versions")
    return processes.about(name)


def read(conf):
    parser = configparser.RawConfigParser(strict=False)
    parser.read(conf)
    return parser


def empty_database(bin):
    """A SQLite file with upstream's tables, made once by upstream's own migrations."""
    path = cache() / f"glance-{bin.parent.name}.db"
    with Lock(cache() / "glance-db.lock"):
        if not path.exists():
            made = path.with_suffix(".new")
            made.unlink(missing_ok=True)
            conf = path.with_suffix(".conf")
            conf.write_text(f"[database]\nconnection = sqlite:///{made}\n")
            run(bin / "glance-manage", "--config-file", conf, "db_sync")
            made.rename(path)
    return path


def write_paste(bin, conf):
    """The packaged pipelines, but the CORS filter reads this configuration instead of the one in /etc, and the health check
    can be switched off by a file beside it."""
    pipelines = configparser.RawConfigParser(strict=False)
    pipelines.optionxform = str
    pipelines.read(bin.parent / "etc/glance/glance-api-paste.ini")
    pipelines.set("filter:cors", "oslo_config_file", str(conf))
    pipelines.set("app:healthcheck", "disable_by_file_path", str(conf.parent / "healthcheck_disable"))
    with open(conf.parent / "glance-api-paste.ini", "w") as file:
        pipelines.write(file)
