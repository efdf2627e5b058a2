"""A real Barbican, which keeps its keys in SQLite, encrypted with one key of its own (`simple_crypto`), and asks a real Keystone about
tokens. It is nobody's but the test's that starts it, so nothing is locked.
"""

import configparser

import environments
import keystone
import processes


def up(name, user, told):
    """Starts the instance NAME for the process USER, where the Keystone that TOLD is about knows the users, and tells about it."""
    processes.stop(name)
    state = processes.folder(name)
    (state / ".barbican").mkdir(parents=True)
    bin = environments.ready("server")
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    conf = state / ".barbican/barbican.conf"
    write_conf(conf, state, url, told)
    write_program(bin, state)
    processes.use(name, user)
    processes.launch(name, [
        bin / "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", state / "program.py", "--master", "--processes", "1",
        "--enable-threads", "--lazy-apps", "--die-on-term", "--buffer-size", "65535", "--add-header", "Connection: close",
        "--socket-timeout", "60", "--listen", "100"], environment(state), {"name": name, "url": url}, url)
    return processes.about(name)


def environment(state):
    """Barbican looks for its configuration in the home directory."""
    return {"HOME": str(state)}


def write_conf(conf, state, url, told):
    conf.write_text(f"""[DEFAULT]
db_auto_create = true
host_href = {url}
[database]
connection = sqlite:///{state}/barbican.db
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = dGhpcnR5X3R3b19ieXRlX2tleWJsYWhibGFoYmxhaGg=
[keystone_authtoken]
www_authenticate_uri = {told["url"]}
auth_url = {told["url"]}
auth_type = password
username = glance
password = {keystone.PASSWORD}
project_name = service
user_domain_id = default
project_domain_id = default
service_token_roles = service
service_token_roles_required = true
""")


def write_program(bin, state):
    """The packaged pipelines; Barbican's own program looks for them in /etc alone."""
    paste = state / "barbican-api-paste.ini"
    pipelines = configparser.RawConfigParser(strict=False)
    pipelines.optionxform = str
    pipelines.read(bin.parent / "etc/barbican/barbican-api-paste.ini")
    with open(paste, "w") as file:
        pipelines.write(file)
    (state / "program.py").write_text(f"from paste import deploy\n\napplication = deploy.loadapp({'config:' + str(paste)!r})\n")
