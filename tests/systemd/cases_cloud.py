"""The package in a cloud: a real Keystone, PostgreSQL and a real Ceph, by configuration alone."""

import json
import os
import pathlib
import subprocess
import tempfile

from bed import WORKERS, check, until
from suite import test

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers/peers"


def peers(*arguments):
    done = subprocess.run([PEERS, *arguments], text=True, capture_output=True)
    check(done.returncode == 0, done.stderr)
    return done.stdout.strip()


@test(360, fresh=True)
def keystone_postgresql_and_ceph_take_only_configuration(i, packages):
    i.install("postgresql", "librbd1", packages.deb(1))
    until("the database runs", 30, lambda: i.succeeds("su postgres -c 'psql -c \"select 1\"'"))
    i.run("su postgres -c \"psql -c \\\"create role glance login password 'd4tabase'\\\" && createdb -O glance glance\"")
    url = "postgresql+psycopg2://glance:d4tabase@127.0.0.1/glance"
    migrate(i, url)
    name, blocks = (f"{kind}-{i.release}-{os.getpid()}" for kind in ("keystone", "ceph"))
    try:
        keystone = json.loads(i.outside(PEERS, "keystone", "up", name, "--user", os.getpid()))
        ceph = json.loads(i.outside(PEERS, "ceph", "up", blocks, "--user", os.getpid(), timeout=240))
        introduce(i, ceph)
        secrets = {"database": url, "keystone": keystone["password"]}
        for secret, text in secrets.items():
            i.write(f"/etc/glance/secrets/{secret}", text, mode=0o600)
        i.run("chmod 700 /etc/glance/secrets")
        i.configure(base=f"""
[DEFAULT]
bind_host = 127.0.0.1
workers = {WORKERS}
node_staging_uri = file:///var/lib/glance/staging
[database]
connection = credential:database
[glance_store]
stores = file,http,rbd
default_store = rbd
rbd_store_user = {ceph["user"]}
[paste_deploy]
flavor = keystone
[keystone_authtoken]
www_authenticate_uri = {keystone["url"]}
auth_url = {keystone["url"]}
auth_type = password
username = glance
password = credential:keystone
project_name = service
user_domain_name = Default
project_domain_name = Default
""")
        i.drop_in("glance-api@.service", "[Service]\nLoadCredential=database:/etc/glance/secrets/database\n"
                  "LoadCredential=keystone:/etc/glance/secrets/keystone\n")
        i.run("systemctl daemon-reload && systemctl restart glance-api.socket")
        token = json.loads(i.outside(PEERS, "keystone", "tokens", name, "demo@demo"))["demo@demo"]
        image = stores_an_image(i, token)
        snapshots = i.outside("rbd", "--conf", ceph["conf"], "snap", "ls", f"{ceph['pool']}/{image}")
        check("snap" in snapshots.split(), snapshots)
        shown = i.run("systemctl show 'glance-api*' && systemctl cat 'glance-api*' && journalctl --no-pager -u 'glance-api*'")
        check("LoadCredential" in shown, "the units are shown")
        for secret in ("d4tabase", token):
            check(secret not in shown, "a secret can be read")
    finally:
        peers("stop", name)
        peers("stop", blocks)


def introduce(i, ceph):
    """What an operator copies from a cluster to a host, and the right to read it."""
    i.write("/etc/ceph/ceph.conf", f"[global]\nfsid = {ceph['fsid']}\nmon_host = {ceph['mon_host']}\n")
    ring = f"/etc/ceph/ceph.client.{ceph['user']}.keyring"
    i.write(ring, pathlib.Path(ceph["keyring"]).read_text(), mode=0o640)
    i.run(f"chgrp glance {ring}")


def migrate(i, url):
    """As an operator's database is made: by upstream's own program."""
    program = pathlib.Path(peers("environment", "server")) / "glance-manage"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(f"[database]\nconnection = {url}\n")
        conf.flush()
        i.outside(program, "--config-file", conf.name, "db_sync")


def stores_an_image(i, token):
    status, headers, _ = i.request()
    check(status == 401 and "Keystone" in headers["WWW-Authenticate"], status, headers)
    check(i.request(headers={"X-Auth-Token": "nonsense"})[0] == 401, "a token that is none")
    mine = {"X-Auth-Token": token}
    fields = {"name": "cloud", "disk_format": "raw", "container_format": "bare"}
    status, _, body = i.request("POST", body=json.dumps(fields), headers={**mine, "Content-Type": "application/json"})
    check(status == 201, status, body)
    image = json.loads(body)["id"]
    status, _, body = i.request("PUT", f"/v2/images/{image}/file", body=b"data",
                                headers={**mine, "Content-Type": "application/octet-stream"})
    check(status == 204, status, body)
    check(i.request(path=f"/v2/images/{image}/file", headers=mine)[2] == b"data", "the data")
    counted = i.run("su postgres -c \"psql -At glance -c \\\"select count(*) from images where status = 'active'\\\"\"")
    check(counted.strip() == "1", counted)
    return image
