"""Reads the image argv[2] of the database argv[1] with upstream's database layer, then writes rows with it."""
import json
import sys

from oslo_config import cfg

from glance import context
from glance.db import migration  # noqa: F401: registers the options
from glance.db.sqlalchemy import api

cfg.CONF([], project="glance", default_config_files=[])
cfg.CONF.set_override("connection", "sqlite:///" + sys.argv[1], group="database")
admin = context.RequestContext(is_admin=True, project_id="o")
image_id = sys.argv[2]

image = api.image_get(admin, image_id)
plain = ("name", "size", "status", "visibility", "owner", "min_ram", "protected")
ours = {name: image[name] for name in plain}
ours["created_at"] = image["created_at"].isoformat()
ours["tags"] = api.image_tag_get_all(admin, image_id)
ours["properties"] = {p["name"]: p["value"] for p in image["properties"] if not p["deleted"]}
ours["locations"] = [[one["url"], one["metadata"]] for one in image["locations"]]
ours["listed"] = [one["id"] for one in api.image_get_all(admin, filters={"deleted": False})]
ours["usage"] = api.user_get_storage_usage(admin, "o")

columns = plain + ("virtual_size", "disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value",
                   "min_disk", "os_hidden", "created_at")
copy = {name: image[name] for name in columns}
copy["properties"] = ours["properties"]
copy["locations"] = [{"url": url, "metadata": metadata, "status": "active"} for url, metadata in ours["locations"]]
theirs = "aaaaaaaa-0000-4000-8000-000000000002"
api.image_create(admin, dict(copy, id=theirs))
api.image_tag_set_all(admin, theirs, ours["tags"])

api.image_update(admin, image_id, {"name": "renamed", "properties": {"a": "2"}}, purge_props=True, from_state="active")
api.image_tag_delete(admin, image_id, "t2")

shared = api.image_create(admin, {"status": "queued", "visibility": "shared", "owner": "o"})["id"]
api.image_member_create(admin, {"image_id": shared, "member": "member", "status": "accepted"})
json.dump({"ours": ours, "theirs": theirs, "shared": shared}, sys.stdout)
