"""Runs upstream's `glance-manage` and the tools of its cache many times in one process: a fork for each request, so that its imports are paid
for once.

Standard input has a request a line, in JSON, standard output an answer a line:

* {"conf": FILE, "arguments": [...]} runs the tool; answers {"status": N, "stdout": TEXT, "stderr": TEXT}.
* {"program": NAME, "arguments": [...]} runs a tool of the cache in the same way, such as glance-cache-manage.
* {"conf": FILE, "chain": [REVISION, ...]} upgrades through the revisions. After each it writes the revision's name, and waits
  for a line. After the first it puts rows into the tables; where an older release had a migration of data, that is run.
"""

import contextlib
import datetime
import importlib
import io
import json
import os
import sys
import tempfile
import traceback
import types
import warnings

warnings.simplefilter("ignore")

import sqlalchemy
from glance import async_
from glance.cmd import manage
from glance.common import config
from glance.db.sqlalchemy import alembic_migrations, api as db_api
from glance.db.sqlalchemy.alembic_migrations import data_migrations
from alembic import command
from oslo_config import cfg
from oslo_db.sqlalchemy import enginefacade
from oslo_log import log as logging

# The package of the cache's driver xattr is none of those that the service itself requires; these are the same calls.
sys.modules["xattr"] = types.SimpleNamespace(getxattr=os.getxattr, setxattr=os.setxattr)

# The prefetcher asks for a kind of threads that its own release does not have any more.
threads = async_.set_threadpool_model
async_.set_threadpool_model = lambda _: threads("native")

THEN = datetime.datetime(2016, 3, 4, 5, 6, 7)
LATER = datetime.datetime(2016, 4, 5, 6, 7, 8)


def tool(program, arguments):
    """Upstream's own `main`; what it prints goes to files, as the tool and its log use several ways to standard output. Nobody answers its
    questions."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.stdin = open(os.devnull)
            sys.stdout, sys.stderr = io.TextIOWrapper(os.fdopen(1, "wb")), io.TextIOWrapper(os.fdopen(2, "wb"))
            sys.argv = [program, *arguments]
            status = 0
            try:
                module = importlib.import_module("glance.cmd." + program.removeprefix("glance-").replace("-", "_"))
                status = module.main() or 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
            except BaseException:
                traceback.print_exc()
                status = 1
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return {"status": status, "stdout": texts[0], "stderr": texts[1]}


def rows(engine):
    """Something in each table of the first revision that the later ones touch."""
    tables = sqlalchemy.MetaData()
    tables.reflect(bind=engine)
    image = dict(status="active", created_at=THEN, updated_at=THEN, deleted=False, min_disk=1, min_ram=2, protected=False,
                 size=3, disk_format="raw", container_format="bare", checksum="c" * 32, owner="o")
    stamp = dict(created_at=THEN, deleted=False)
    gone = dict(deleted=True, deleted_at=LATER)
    with engine.connect() as connection, connection.begin():
        def put(table, **values):
            connection.execute(tables.tables[table].insert().values(**values))
        put("images", id="i1", name="public ü", is_public=True, **image)
        put("images", id="i2", name="private", is_public=False, **image)
        put("images", id="i3", name="shared", is_public=False, **image)
        put("images", id="i4", name="gone", is_public=False, **{**image, **gone, "status": "deleted"})
        put("image_members", image_id="i3", member="m", can_share=True, status="accepted", **stamp)
        put("image_members", image_id="i2", member="m", can_share=True, status="pending", **{**stamp, **gone})
        put("image_properties", image_id="i1", name="p", value="v", **stamp)
        put("image_tags", image_id="i1", value="t", **stamp)
        put("image_locations", image_id="i1", value="file:///i1", meta_data='{"backend": "fast", "BACKEND": 1}', status="active", **stamp)
        put("image_locations", image_id="i2", value="file:///i2", meta_data="{}", status="active", **stamp)
        put("tasks", id="t1", type="import", status="success", owner="o", **stamp)
        put("tasks", id="t2", type="import", status="failure", owner="o", **{**stamp, **gone})
        put("task_info", task_id="t2", input="{}", message="m")
        put("metadef_resource_types", name="OS::Nova::Instance", protected=True, created_at=THEN)
        put("metadef_namespaces", namespace="n", owner="o", created_at=THEN)


class Committing:
    """An engine for functions that rely on each statement's being committed by itself, as SQLAlchemy once did."""

    def __init__(self, engine):
        self.connect = engine.begin


def chain(conf, revisions):
    cfg.CONF.register_cli_opt(manage.command_opt)
    logging.register_options(cfg.CONF)
    config.parse_args(["--config-file", conf, "db", "version"])
    engine = db_api.get_engine()
    alembic = alembic_migrations.get_alembic_config()
    manage.USE_TRIGGERS = False
    for number, revision in enumerate(revisions):
        command.upgrade(alembic, revision)
        if number == 0:
            rows(engine)
        # Nobody may be connected to a database that is about to be copied.
        engine.dispose()
        enginefacade.writer.get_engine().dispose()
        yield revision
        if revision == "ocata_expand01":
            [ocata] = data_migrations._find_migration_modules("ocata")
            tables = sqlalchemy.MetaData()
            images = sqlalchemy.Table("images", tables, autoload_with=engine)
            members = sqlalchemy.Table("image_members", tables, autoload_with=engine)
            plain = Committing(engine)
            ocata._mark_all_public_images_with_public_visibility(plain, images)
            ocata._mark_all_non_public_images_with_private_visibility(plain, images)
            ocata._mark_all_private_images_with_members_as_shared_visibility(plain, images, members)
        if revision == "train_expand01":
            [train] = data_migrations._find_migration_modules("train")
            # Not by way of `has_migrations`, which finds nothing on SQLite.
            train.migrate(engine)


for line in sys.stdin:
    request = json.loads(line)
    if "chain" in request:
        for revision in chain(request["conf"], request["chain"]):
            print(revision, flush=True)
            sys.stdin.readline()
        break
    if "program" in request:
        done = tool(request["program"], request["arguments"])
    else:
        done = tool("glance-manage", ["--config-file", request["conf"], *request["arguments"]])
    print(json.dumps(done), flush=True)
