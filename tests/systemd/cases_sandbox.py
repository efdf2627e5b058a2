"""What a worker may do, what it keeps to itself, and what it tells the journal."""

import hashlib
import json
import platform
import re

from bed import WORKERS, check, until
from suite import test

ALL = [f"glance-api@{number}.service" for number in range(1, WORKERS + 1)]
UNITS = ("glance-api.socket glance-api.service glance-api@1.service glance-api-activation.service system-glance.slice "
         "glance-cache-pruner.service glance-cache-pruner.timer glance-cache-cleaner.service glance-cache-cleaner.timer")


@test(60)
def the_security_score_is_at_most_one_and_a_half(i):
    scored = i.run("systemd-analyze security --no-pager glance-api@1.service | tail -1")
    score = float(re.search(r"level for glance-api@1\.service: ([0-9.]+)", scored)[1])
    check(score <= 1.5, scored)


@test(60)
def verify_has_nothing_to_say(i):
    said = i.run(f"systemd-analyze verify --man=no {UNITS}")
    check(not said.strip(), said)


@test(60)
def the_timers_of_the_cache_are_off_and_their_services_work_in_their_sandbox(i):
    for tool in ("pruner", "cleaner"):
        enabled = i.run(f"systemctl is-enabled glance-cache-{tool}.timer", expect=None).strip()
        check(enabled == "disabled", tool, enabled)
    i.configure("[DEFAULT]\nimage_cache_dir = /var/cache/glance/images\nimage_cache_max_size = 0\nimage_cache_driver = xattr\n")
    i.run("install -d -o glance -g glance /var/cache/glance/images /var/cache/glance/images/invalid && "
          "install -o glance -g glance /dev/null /var/cache/glance/images/invalid/00000000-0000-4000-8000-000000000001")
    for tool in ("pruner", "cleaner"):
        i.run(f"systemctl start glance-cache-{tool}.service")
        check(i.show(f"glance-cache-{tool}.service", "Result") == "success", tool)
    check(not i.run("ls /var/cache/glance/images/invalid").strip(), "invalid files are gone")


@test(60)
def data_goes_up_and_down_in_the_sandbox(i):
    data = bytes(range(256)) * 40960
    image = i.create_image(data)
    status, _, body = i.request(path=f"/v2/images/{image}/file")
    check(status == 200 and body == data, status, len(body))
    check(i.request("DELETE", f"/v2/images/{image}")[0] == 204, "delete")
    for unit in ALL:
        status = i.read(f"/proc/{i.main_pid(unit)}/status")
        check(re.search(r"CapEff:\s*0+\n", status) and re.search(r"NoNewPrivs:\s*1", status), unit)
    owner = i.run("stat -c %U /var/lib/glance/glance.db").strip()
    check(owner == "glance", owner)


@test(60)
def imports_give_way_to_requests_in_the_sandbox(i):
    image = i.create_image()
    i.import_staged(image, bytes(4 << 20))

    def niceness():
        """Of the threads that digest imports: they stay for ten seconds after their work."""
        found = i.run("cat /proc/[0-9]*/task/[0-9]*/stat | grep -aF '(glance-hash-bg)'", expect=None)
        return {line.rsplit(")", 1)[1].split()[16] for line in found.splitlines() if "(glance-hash-bg)" in line}

    def slices():
        """Of the same threads, in nanoseconds."""
        found = i.run("cd /proc; grep -lax glance-hash-bg [0-9]*/task/[0-9]*/comm | sed s/comm$/sched/ | xargs -r grep -h ^se.slice",
                      expect=None)
        return {line.split()[-1] for line in found.splitlines()}

    until("the threads of an import are nice", 20, lambda: niceness() == {"10"})
    if [int(number) for number in re.findall(r"\d+", platform.release())[:2]] >= [6, 12]:
        until("any other thread goes before them", 20, lambda: slices() == {"100000000"})
    until("the image is active", 20, lambda: i.image(image)["status"] == "active")


@test(60)
def qemu_img_converts_in_the_sandbox_and_sees_no_other_files(i):
    i.configure("[image_import_opts]\nimage_import_plugins = [image_conversion]\n[image_conversion]\noutput_format = raw\n")
    i.run("systemctl restart glance-api")
    data = bytes(range(256)) * 4096 + bytes(2 << 20) + b"the end".ljust(64 << 10)
    (i.root / "root/disk.raw").write_bytes(data)
    i.run("cd /root && qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2 && "
          "qemu-img create -q -f qcow2 -b /etc/passwd -F raw thief.qcow2 1M")

    image = i.create_image(disk_format="qcow2")
    i.import_staged(image, (i.root / "root/disk.qcow2").read_bytes())
    ended(i, image, "success")
    found = i.image(image)
    expected = {"status": "active", "disk_format": "raw", "size": len(data), "virtual_size": len(data),
                "checksum": hashlib.md5(data).hexdigest(), "os_hash_value": hashlib.sha512(data).hexdigest()}
    check({name: found[name] for name in expected} == expected, found)

    thief = i.create_image(disk_format="qcow2")
    i.import_staged(thief, (i.root / "root/thief.qcow2").read_bytes())
    task = ended(i, thief, "failure")
    # The words of our own look, which comes before any of qemu-img.
    check("Image has disallowed configuration" in task["message"], task)
    check(i.image(thief)["status"] != "active", "status")
    left = i.run("find /var/lib/glance/staging /var/lib/glance/images -name '*.raw'")
    check(not left, left)


def ended(i, image, status):
    """The task of an import, once it has ended; it must have so."""
    def task():
        [task] = json.loads(i.request(path=f"/v2/images/{image}/tasks")[2])["tasks"]
        return task if task["status"] in ("success", "failure") else None

    task = until("the import has ended", 30, task)
    check(task["status"] == status, task, i.log())
    return task


@test(60)
def data_elsewhere_takes_one_drop_in(i):
    i.run("install -d -o glance -g glance /srv/images")
    i.configure("[glance_store]\nfilesystem_store_datadir = /srv/images\n")
    i.drop_in("glance-api@.service", "[Service]\nReadWritePaths=/srv/images\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api")
    image = i.create_image(b"elsewhere")
    check(i.read(f"/srv/images/{image}") == "elsewhere", "the file")


@test(60)
def allowed_peers_can_be_limited(i):
    i.drop_in("glance-api@.service", "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api")
    i.serves()


@test(60)
def secrets_come_as_credentials_and_are_nowhere_else(i):
    secret = "sqlite:////var/lib/glance/s3cret-place.db"
    i.write("/etc/glance/secrets/database", secret + "\n", mode=0o600)
    i.run("cd /etc/glance/secrets; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
          "-keyout api.key -out /etc/glance/api.crt 2>/dev/null; chmod 700 .; chmod 600 *; chmod 644 /etc/glance/api.crt")
    i.configure("[database]\nconnection = credential:database\n[DEFAULT]\ncert_file = /etc/glance/api.crt\n"
                "key_file = credential:api.key\n")
    i.drop_in("glance-api@.service", "[Service]\nLoadCredential=database:/etc/glance/secrets/database\n"
              "LoadCredential=api.key:/etc/glance/secrets/api.key\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api")
    check(i.workers() == ALL, i.log())
    i.run("curl -sS --cacert /etc/glance/api.crt --connect-to x:443:127.0.0.1:9292 https://x/v2/images")
    i.run("test -s /var/lib/glance/s3cret-place.db")
    i.run("systemctl reload glance-api")
    check("s3cret" not in i.run("systemctl show 'glance-api*'"), "systemctl show")
    check("s3cret" not in i.run("journalctl --no-pager -u 'glance-api*'"), "the journal")
    environment = i.read(f"/proc/{i.main_pid(ALL[0])}/environ")
    check("s3cret" not in environment, "the environment")
    # ExecReload= needs none of them, and the generator does not know them.
    said = i.journal("-t glance-api-generator")[-1]
    check(said["PRIORITY"] == "6", said)


@test(60)
def sealed_credentials_work_too(i):
    i.run("mkdir -p /etc/glance/secrets; printf 'sqlite:////var/lib/glance/sealed.db' | "
          "systemd-creds encrypt --with-key=host --name=database - /etc/glance/secrets/database.cred")
    opens_the_database_of(i, "database", "LoadCredentialEncrypted=database:/etc/glance/secrets/database.cred", "sealed.db")


@test(60)
def credentials_of_the_system_can_be_imported(i):
    if i.release == "bookworm":
        # ImportCredential= came with systemd 254: there, LoadCredential= names the file.
        said = i.run("printf '[Service]\\nExecStart=true\\nImportCredential=glance.*\\n' > /run/imports.service; "
                     "systemd-analyze verify --man=no /run/imports.service", expect=None)
        check("Unknown key" in said and "ImportCredential" in said, said)
        return
    i.run("install -d -m 700 /etc/credstore; printf 'sqlite:////var/lib/glance/imported.db' > /etc/credstore/glance.database; "
          "chmod 600 /etc/credstore/glance.database")
    opens_the_database_of(i, "glance.database", "ImportCredential=glance.*", "imported.db")


def opens_the_database_of(i, credential, setting, file):
    i.configure(f"[database]\nconnection = credential:{credential}\n")
    i.drop_in("glance-api@.service", f"[Service]\n{setting}\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api")
    check(i.workers() == ALL, i.log())
    i.serves()
    i.run(f"test -s /var/lib/glance/{file}")


@test(60)
def the_journal_has_fields_and_finds_a_request(i):
    _, headers, _ = i.request(path="/v2/images")
    request = headers["x-openstack-request-id"]
    other = i.request(path="/v2/images")[1]["x-openstack-request-id"]
    i.run("journalctl --sync")
    found = i.journal(f"GLANCE_REQUEST_ID={request}")
    check(found, "nothing with the id of the request")
    for entry in found:
        check(entry["SYSLOG_IDENTIFIER"] == "glance-api" and entry["_SYSTEMD_UNIT"] in ALL, json.dumps(entry))
        check(other not in json.dumps(entry), "another request's")
    check(any("/v2/images" in entry["MESSAGE"] and "200" in entry["MESSAGE"] for entry in found), found)
    check(all("\n" not in entry["MESSAGE"] for entry in found), "one line each")
    check({entry["PRIORITY"] for entry in found} <= {"3", "4", "5", "6"}, found)
    image = i.create_image(b"x")
    i.run("journalctl --sync")
    check(i.journal(f"GLANCE_IMAGE_ID={image}"), "nothing with the id of the image")
