"""Reload: complete when the command returns, whole or not at all, and nobody notices."""

import json
import re
import socket
import ssl

from bed import WORKERS, check, until
from load import Load, Transfer
from suite import test

ALL = [f"glance-api@{number}.service" for number in range(1, WORKERS + 1)]


def reports(i):
    return [json.loads(i.read(f"/run/glance-api/{number}/reload.json")) for number in range(1, WORKERS + 1)]


@test(60)
def reload_returns_when_every_worker_has_the_new_configuration(i):
    for number in range(1, 11):
        i.configure(f"[DEFAULT]\npublic_endpoint = http://round{number}.example\n")
        i.run("systemctl reload glance-api")
        # With Type=notify-reload the manager sends a signal too.
        check(all(report["completed"] >= number and report["ok"] for report in reports(i)), reports(i))
        for _ in range(2 * WORKERS):
            check(f"round{number}.example" in i.request(path="/versions")[2].decode(), "an old configuration is in force")
    check(i.workers() == ALL, i.workers())


@test(60)
def reload_of_one_worker_is_its_own(i):
    i.run("systemctl reload glance-api@2")
    check([report["completed"] > 0 for report in reports(i)] == [False, True, False], reports(i))


@test(60)
def the_type_of_the_unit_fits_the_systemd(i):
    wanted = "notify" if i.release == "bookworm" else "notify-reload"
    check(i.show("glance-api@1.service", "Type") == wanted, i.show("glance-api@1.service", "Type"))


@test(60)
def a_bad_configuration_on_reload_is_rejected_by_name(i):
    pids = [i.main_pid(unit) for unit in ALL]
    i.configure("[DEFAULT]\napi_limit_max = many\n")
    i.run("systemctl reload glance-api", expect=1)
    said = i.run("journalctl --no-pager -u glance-api.service -n 20")
    check("api_limit_max" in said and "glance-api@1.service" in said, said)
    check(re.search(r"glance-api\.conf:\d+", i.run("journalctl --no-pager -u glance-api@1.service -n 20")), "file and line")
    check("rejected" in i.show("glance-api@1.service", "StatusText"), i.show("glance-api@1.service", "StatusText"))
    check([i.main_pid(unit) for unit in ALL] == pids and i.active("glance-api.service"), "all go on")
    i.serves()
    i.run("systemctl reload glance-api@1", expect=1)
    i.configure()
    i.run("systemctl reload glance-api")
    check(all(report["ok"] for report in reports(i)), reports(i))


@test(60, running=False)
def a_bad_configuration_at_start_is_told_at_once_and_not_retried(i):
    i.configure("[DEFAULT]\napi_limit_max = many\n")
    i.run("systemctl start glance-api", expect=1)
    check(i.show("glance-api@1.service", "ExecMainStatus") == "78", i.show("glance-api@1.service", "ExecMainStatus"))
    check(i.show("glance-api@1.service", "NRestarts") == "0", "it was retried")
    said = i.run("journalctl --no-pager -u glance-api@1.service -n 20")
    check(re.search(r"glance-api\.conf:\d+.*api_limit_max", said), said)
    check(i.active("glance-api.socket"), "the socket waits")
    i.configure()
    i.serves()
    until("all workers run", 10, lambda: i.workers() == ALL)


@test(240)
def two_hundred_reloads_under_load_break_nothing(i):
    size = 48 << 20
    image = i.create_image(b"d" * size)
    download = Transfer(i, image, size, 600, upload=False)
    with Load(i) as load:
        download.start()
        for number in range(10):
            i.configure(f"[DEFAULT]\ndebug = {number % 2 == 0}\n")
            i.run("for n in $(seq 20); do systemctl reload glance-api || exit 1; done", timeout=120)
        check(download.is_alive() and download.started.is_set(), "the download runs from before to after", download.error)
        # The rest as fast as it comes.
        download.seconds = 1
        download.join(60)
    check(not load.failures and load.good > 100, load.verdict())
    check(download.error is None and download.done == size, download.error, download.done)
    check(all(report["completed"] >= 200 and report["ok"] for report in reports(i)), reports(i))


def make_certificate(i, name):
    i.run(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} "
          f"-addext subjectAltName=DNS:{name} -keyout /etc/glance/api.key -out /etc/glance/api.crt 2>/dev/null; "
          "chown root:glance /etc/glance/api.*; chmod 640 /etc/glance/api.key")


def certificate_name(i):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=i.read("/etc/glance/api.crt"))
    with i.connect() as plain, context.wrap_socket(plain) as secure:
        return dict(part[0] for part in secure.getpeercert()["subject"])["commonName"]


@test(60)
def certificates_are_changed_by_reload(i):
    make_certificate(i, "first.example")
    i.configure("[DEFAULT]\ncert_file = /etc/glance/api.crt\nkey_file = /etc/glance/api.key\n")
    i.run("systemctl restart glance-api")
    check(certificate_name(i) == "first.example", "first")
    old = i.connect()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=i.read("/etc/glance/api.crt"))
    held = context.wrap_socket(old)
    make_certificate(i, "second.example")
    i.run("systemctl reload glance-api")
    for _ in range(3 * WORKERS):
        check(certificate_name(i) == "second.example", "second")
    # A connection that is open stays what it is.
    held.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: test\r\n\r\n")
    check(held.recv(100).startswith(b"HTTP/1.1 200"), "the connection from before")
    held.close()
    i.write("/etc/glance/api.key", "no key")
    i.run("systemctl reload glance-api", expect=1)
    i.run("cp /etc/glance/api.crt /tmp/good.crt")
    with socket.socket():
        check("key_file" in i.show("glance-api@1.service", "StatusText"), i.show("glance-api@1.service", "StatusText"))


@test(60)
def status_tells_what_a_worker_is_doing(i):
    held = i.connect()
    held.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: test\r\n\r\n")
    held.recv(100)
    i.run("systemctl reload glance-api")
    def lines():
        return [i.show(unit, "StatusText") for unit in ALL]
    until("one open connection", 5, lambda: any("1 open connection," in line for line in lines()))
    for line in lines():
        for words in ("version ", "listening on 127.0.0.1:9292", "requests in flight", "configuration reloaded"):
            check(words in line, words, "not in", line)
    check("Status:" in i.run("systemctl status glance-api@1"), "systemctl status")
    held.close()
