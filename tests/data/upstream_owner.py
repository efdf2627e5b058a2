"""Does with the image argv[2] of the database argv[1] whatever upstream's database layer does to a row whose data somebody writes."""
import json
import sys

from oslo_config import cfg

import glance.db
from glance import context
from glance.db import migration  # noqa: F401: registers the options
from glance.db.sqlalchemy import api

cfg.CONF([], project="glance", default_config_files=[])
cfg.CONF.set_override("connection", "sqlite:///" + sys.argv[1], group="database")
admin = context.RequestContext(is_admin=True, project_id="o")
image_id = sys.argv[2]
repo = glance.db.ImageRepo(admin, api)
said = {}


def shown():
    return dict(repo.get(image_id).extra_properties)


def row():
    with api.session_for_read() as session:
        found = session.execute(api.sa_sql.text(
            "select value, deleted from image_properties where name = 'os_glance_data_owner'")).fetchall()
    return [list(one) for one in found]


said["shown"] = shown()
said["listed"] = [dict(image.extra_properties) for image in repo.list()]
by_name = {"properties": {"os_glance_data_owner": "token"}, "deleted": False}
said["found by name"] = [image["id"] for image in api.image_get_all(admin, filters=by_name)]

# An update as the API makes it: all properties written back, others purged.
image = repo.get(image_id)
image.extra_properties["b"] = "2"
del image.extra_properties["a"]
repo.save(image)
said["after an update"] = [shown(), row()]

# A change of the status, as an upload makes it.
api.image_update(admin, image_id, {"status": "saving"}, purge_props=False, from_state="saving")
said["after a step"] = [shown(), row()]

repo.remove(repo.get(image_id))
said["after a deletion"] = row()

api.purge_deleted_rows(admin, 0, -1)
api.purge_deleted_rows_from_images(admin, 0, -1)
with api.session_for_read() as session:
    left = session.execute(api.sa_sql.text("select (select count(*) from images), (select count(*) from image_properties)"))
    said["after a purge"] = list(left.fetchone())
json.dump(said, sys.stdout)
