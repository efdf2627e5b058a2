"""A real Keystone with the users of a small cloud.

It is set up once, into a template below the cache; an instance is a copy of that on a free port. All passwords are "secret".

    user           project     roles
    admin          admin       admin (bootstrap; also on the system, and on the domain)
    glance         service     admin, service: what glance-api itself logs in as; reader on the system
    nova           service     service
    demo           demo        member; also on the domain
    demo_admin     demo        admin
    demo_manager   demo        manager
    demo_reader    demo        reader
    demo_norole    demo        creator: a role that no rule names
    alt_demo       alt_demo    member
    alt_manager    alt_demo    manager
    alt_reader     alt_demo    reader
"""

import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import urllib.request

import environments
import processes
from environments import Failure, Lock, cache, run

PASSWORD = "secret"
GRANTS = (("glance", "service", ("admin", "service")), ("nova", "service", ("service",)), ("demo", "demo", ("member",)),
          ("demo_reader", "demo", ("reader",)), ("demo_manager", "demo", ("manager",)),
          ("demo_norole", "demo", ("creator",)), ("alt_demo", "alt_demo", ("member",)),
          ("demo_admin", "demo", ("admin",)), ("alt_manager", "alt_demo", ("manager",)),
          ("alt_reader", "alt_demo", ("reader",)))
# Stands for the instance's own address in the template's catalogue.
TEMPLATE_URL = "http://keystone.invalid/v3"
# The instance that all tests use which change nothing of it.
SHARED = "shared"


def up(name, user, model="flat"):
    """Starts the instance NAME unless it runs, notes that the process USER uses it, and tells about it. MODEL is how limits hold.
    Another version of this file has users of its own, so it shares no instance with this one."""
    if name == SHARED:
        name = f"{name}-{version()}"
    with processes.lock(name):
        if not processes.keeper_pid(name):
            start(name, processes.free_port(), model)
        processes.use(name, user)
        return processes.about(name)


def again(name):
    """Starts the instance NAME anew at its old address with its old users and tokens, after `away`."""
    with processes.lock(name):
        told = processes.about(name)
        launch(name, told)
        return told


def away(name):
    """Ends the instance NAME but keeps its state, for `again`."""
    with processes.lock(name):
        kept = processes.folder(name).with_name(name + ".kept")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(processes.folder(name), kept, symlinks=True)
        processes.stop(name)
        kept.rename(processes.folder(name))
        (processes.folder(name) / "keeper.pid").unlink(missing_ok=True)


def start(name, port, model):
    state = processes.folder(name)
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(template(), state)
    url = f"http://127.0.0.1:{port}/v3"
    write_conf(state, model)
    with sqlite3.connect(state / "keystone.db") as db:
        db.execute("update endpoint set url = ? where url = ?", (url, TEMPLATE_URL))
        # Keystone notes a user's first login of the day in the transaction that reads the user. Of two such at a time SQLite
        # refuses one at once, and Keystone drops that request. With today's date there, it has nothing to note.
        db.execute("update user set last_active_at = date('now')")
    launch(name, {"name": name, "url": url, "port": port, "password": PASSWORD, "state": str(state),
                  **json.loads((state / "ids.json").read_text())})


def launch(name, told):
    state = processes.folder(name)
    processes.launch(name, command(state, f"127.0.0.1:{told['port']}", environments.ready("server")),
                     environment(state), told, told["url"])


# One thread for each process.
def command(state, address, bin, workers=3):
    return [bin / "uwsgi", "--http-socket", address, "--module", "keystone.wsgi.api:application", "--master",
            "--processes", str(workers), "--enable-threads", "--lazy-apps", "--die-on-term", "--buffer-size", "65535", "--add-header", "Connection: close",
            # Not four seconds: on a busy machine a request may come in that slowly, and the connection was closed without an answer.
            "--socket-timeout", "60", "--listen", "100"]


def environment(state):
    return {"OS_KEYSTONE_CONFIG_FILES": str(state / "keystone.conf"), "OS_KEYSTONE_CONFIG_DIR": str(state)}


def write_conf(state, model="flat"):
    (state / "keystone.conf").write_text(f"""[DEFAULT]
log_file = {state}/keystone.log
max_token_size = 4096
[database]
connection = sqlite:///{state}/keystone.db
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {state}/fernet
[fernet_receipts]
key_repository = {state}/receipts
[credential]
key_repository = {state}/credential
[identity]
password_hash_rounds = 4
[unified_limit]
enforcement_model = {model}
""")


def version():
    """Of this file and the packages."""
    packages = environments.place("server").name.encode()
    return hashlib.sha256(pathlib.Path(__file__).read_bytes() + packages).hexdigest()[:12]


def template():
    """The folder of a Keystone that has everything, made on first use."""
    bin = environments.ready("server")
    state = cache() / f"keystone-{version()}"
    with Lock(cache() / "keystone.lock"):
        if not (state / "ids.json").exists():
            shutil.rmtree(state, ignore_errors=True)
            state.mkdir(parents=True)
            write_conf(state)
            manage = [bin / "keystone-manage", "--config-file", state / "keystone.conf"]
            run(*manage, "db_sync")
            for what in ("fernet_setup", "credential_setup", "receipt_setup"):
                run(*manage, what, "--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid()))
            run(*manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne",
                *sum(([f"--bootstrap-{kind}-url", TEMPLATE_URL] for kind in ("public", "internal", "admin")), []))
            populate(state, bin)
    return state


def populate(state, bin):
    """Runs the template for a moment and makes its users through the API."""
    name, port = "keystone-template", processes.free_port()
    url = f"http://127.0.0.1:{port}/v3"
    processes.folder(name).mkdir(parents=True, exist_ok=True)
    # On a busy machine this takes longer than a peer without a user is kept.
    processes.use(name, os.getpid())
    # One worker: on a busy machine others still load the program when the first one answers, and drop what they are given.
    processes.launch(name, command(state, f"127.0.0.1:{port}", bin, workers=1), environment(state), {}, url)
    try:
        token = log_in(url, "admin", "admin")

        def make(kind, **values):
            return api("POST", f"{url}/{kind}s", token, {kind: values})[1][kind]["id"]

        def known(kind):
            return {item["name"]: item["id"] for item in api("GET", f"{url}/{kind}s", token)[1][f"{kind}s"]}

        roles = known("role")
        for name_ in ("service", "creator", "manager"):
            if name_ not in roles:
                roles[name_] = make("role", name=name_)
        for name_ in ("service", "demo", "alt_demo"):
            make("project", name=name_, domain_id="default")
        projects = known("project")
        for user, project, granted in GRANTS:
            id = make("user", name=user, domain_id="default", password=PASSWORD)
            for role in granted:
                api("PUT", f"{url}/projects/{projects[project]}/users/{id}/roles/{roles[role]}", token)
        users = known("user")
        # Limits are read with a system-scoped token.
        api("PUT", f"{url}/system/users/{users['glance']}/roles/{roles['reader']}", token)
        for user, role in (("admin", "admin"), ("demo", "member")):
            api("PUT", f"{url}/domains/default/users/{users[user]}/roles/{roles[role]}", token)
        service = make("service", name="glance", type="image")
        for interface in ("public", "internal", "admin"):
            make("endpoint", service_id=service, interface=interface, region_id="RegionOne", url="http://127.0.0.1:9292")
        (state / "ids.json").write_text(json.dumps({"projects": projects, "users": users}))
    finally:
        processes.stop(name)


def api(method, url, token=None, body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else {}


def log_in(url, user, scope):
    """A token. SCOPE is a project's name, 'system', 'domain' or 'unscoped'."""
    auth = {"identity": {"methods": ["password"], "password": {"user": {
        "name": user, "domain": {"id": "default"}, "password": PASSWORD}}}}
    if scope == "system":
        auth["scope"] = {"system": {"all": True}}
    elif scope == "domain":
        auth["scope"] = {"domain": {"id": "default"}}
    elif scope == "unscoped":
        auth["scope"] = "unscoped"
    else:
        auth["scope"] = {"project": {"name": scope, "domain": {"id": "default"}}}
    headers, _ = api("POST", f"{url}/auth/tokens", body={"auth": auth})
    return headers["X-Subject-Token"]


def add_region(told, region, url):
    """A further region whose Image service is at URL."""
    base = told["url"]
    token = log_in(base, "admin", "system")
    service = api("GET", f"{base}/services?type=image", token)[1]["services"][0]["id"]
    api("POST", f"{base}/regions", token, {"region": {"id": region}})
    # There is no internal one.
    for interface in ("public", "admin"):
        api("POST", f"{base}/endpoints", token, {"endpoint": {
            "service_id": service, "interface": interface, "region_id": region, "url": url}})


def tokens(url, wanted):
    """Tokens by 'user@scope'; 'revoked:user@scope' is a token that was taken back."""
    found = {}
    for name in wanted:
        kind, _, who = name.rpartition(":")
        user, _, scope = who.partition("@")
        found[name] = log_in(url, user, scope)
        if kind == "revoked":
            request = urllib.request.Request(f"{url}/auth/tokens", method="DELETE", headers={
                "X-Auth-Token": found[name], "X-Subject-Token": found[name]})
            urllib.request.urlopen(request, timeout=30).close()
        elif kind:
            raise Failure(f"unknown kind of token: {name}")
    return found
