"""The packages: what they leave on a clean system, and how they come, change and go."""

import filecmp
import json
import pathlib
import subprocess

from bed import TESTBED, check, until
from load import Load, Transfer
from suite import test

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
CONF = "/etc/glance/glance-api.conf"


@test(90, fresh=True)
def a_clean_system_serves_after_the_installation(i, packages):
    i.install(packages.deb(1))
    for path in ("/usr/bin/glance-api", "/usr/bin/glance-manage", "/usr/bin/glance-status",
                 "/usr/bin/glance-cache-manage", "/usr/bin/glance-cache-pruner", "/usr/bin/glance-cache-cleaner",
                 "/usr/bin/glance-cache-prefetcher", "/usr/share/man/man1/glance-cache-pruner.1.gz",
                 "/usr/lib/systemd/system/glance-cache-pruner.timer", "/usr/lib/systemd/system/glance-cache-cleaner.timer",
                 "/usr/share/man/man1/glance-manage.1.gz", "/usr/share/man/man1/glance-status.1.gz",
                 "/usr/lib/systemd/system-generators/glance-api-generator", CONF,
                 "/usr/lib/systemd/system/glance-api.socket", "/usr/lib/systemd/system/glance-api.service",
                 "/usr/lib/systemd/system/glance-api@.service", "/usr/lib/sysusers.d/glance-api.conf",
                 "/usr/lib/tmpfiles.d/glance-api.conf", "/usr/share/doc/glance-api/policy.yaml.sample",
                 "/usr/share/man/man1/glance-api.1.gz", "/usr/share/man/man5/glance-api.conf.5.gz",
                 "/usr/share/man/man7/glance-api-migration.7.gz",
                 "/usr/share/man/man8/glance-api.service.8.gz", "/usr/share/man/man8/glance-api-generator.8.gz",
                 "/usr/share/man/man8/glance-api-rolling-restart.8.gz", "/usr/share/bash-completion/completions/glance-api",
                 "/usr/share/doc/glance-api/copyright", "/usr/share/doc/glance-api/changelog.Debian.gz",
                 "/usr/share/doc/glance-api/third-party.txt.gz"):
        i.run(f"test -s '{path}'")
    check(i.run(f"stat -c '%a %U:%G' /etc/glance {CONF}").split() == ["750", "root:glance", "640", "root:glance"], "modes")
    check(i.run("getent passwd glance").split(":")[5] == "/var/lib/glance", "the user")
    i.run("glance-api --check-config >/dev/null && systemctl is-enabled glance-api.socket && systemctl is-active glance-api.socket")
    check(json.loads(i.serves())["images"] == [], "no images")
    check(i.run("runuser -u glance -- glance-manage db check").strip() == "Database is up to date. No upgrades needed.", "tables")
    i.run("glance-status upgrade check")
    image = i.create_image(b"data")
    check(i.request(path=f"/v2/images/{image}/file")[2] == b"data", "data")
    check(i.run("ss -Hltn 'sport = :9292'").split()[3] == "127.0.0.1:9292", "loopback alone")
    check(not i.run("systemctl --failed --no-legend --plain | grep glance || true").strip(), "no unit has failed")


@test(60, fresh=True)
def the_package_for_every_systemd_runs_here_too(i, packages):
    i.install(packages.deb(1, suffix=""))
    i.serves()
    check(i.show("glance-api@1.service", "Type") == "notify", "type")
    i.run("systemctl reload glance-api")


@test(180, fresh=True)
def an_upgrade_under_load_fails_no_request(i, packages):
    i.install(packages.deb(1))
    i.configure()
    i.run("systemctl daemon-reload && systemctl restart glance-api.socket && systemctl start glance-api")
    before = {unit: i.main_pid(unit) for unit in i.workers()}
    check(len(before) == 3, before)
    image = i.create_image()
    upload = Transfer(i, image, 8 << 20, 12, upload=True)
    with Load(i) as load:
        upload.start()
        upload.started.wait(10)
        i.install(packages.deb(2))
    upload.join(60)
    check(not load.failures and load.good > 50, load.verdict())
    check(upload.status == 204, upload.error, upload.status)
    check(i.run("dpkg-query -W -f '${Version}' glance-api").split("-")[1][0] == "2", "the version")
    until("every worker is another process", 30, lambda: all(i.main_pid(unit) not in (0, pid) for unit, pid in before.items()))
    check("workers = 3" in i.read(CONF), "the administrator's file")


@test(240, fresh=True)
def an_upgrade_of_the_rpm_under_load_fails_no_request(i, packages):
    i.install("rpm", "procps")
    # Debian's rpm of old wants to be told that it is meant; dependencies are names of other distributions' packages.
    rpm = "rpm --nosignature --nodeps" + (" --force-debian" if i.succeeds("rpm --force-debian --version") else "")
    for number in (1, 2):
        i.copy(packages.rpm(number), f"/root/{number}.rpm")
    i.run(f"{rpm} -i /root/1.rpm")
    # What the preset does where systemd-update-helper is, which rpm distributions bring.
    i.run("systemctl daemon-reload && systemctl preset glance-api.socket && systemctl is-enabled glance-api.socket")
    i.configure()
    i.run("systemctl daemon-reload && systemctl start glance-api.socket && systemctl start glance-api")
    before = {unit: i.main_pid(unit) for unit in i.workers()}
    check(len(before) == 3, before)
    with Load(i) as load:
        i.run(f"{rpm} -U /root/2.rpm", timeout=120)
    check(not load.failures and load.good > 50, load.verdict())
    check(i.run("rpm -q --qf '%{RELEASE}' glance-api").strip() == "2", "the release")
    until("every worker is another process", 30, lambda: all(i.main_pid(unit) not in (0, pid) for unit, pid in before.items()))
    check("workers = 3" in i.read(CONF), "the administrator's file")
    i.run(f"{rpm} -e glance-api")
    check(not i.workers("active,activating,deactivating"), "no worker")
    check(not i.run("ss -Hltn 'sport = :9292'").strip(), "nothing listens")
    check("workers = 3" in i.read(CONF + ".rpmsave"), "the administrator's file is kept beside")


@test(120, fresh=True)
def an_upgrade_that_cannot_start_leaves_the_old_workers(i, packages):
    i.install(packages.deb(1))
    i.configure()
    i.run("systemctl daemon-reload && systemctl restart glance-api.socket && systemctl start glance-api")
    image = i.create_image(b"precious")
    # As a migration that fails would: the new processes do not come up.
    i.configure("[database]\nconnection = sqlite:////proc/none/glance.db\n")
    i.install(packages.deb(2))
    check(len(i.workers()) == 2, "all but the first one go on:", i.workers())
    for _ in range(10):
        check(i.request(path=f"/v2/images/{image}/file")[2] == b"precious", "data")
    i.configure()
    i.run("systemctl reset-failed; systemctl start glance-api; glance-api-rolling-restart")
    check(len(i.workers()) == 3, i.workers())
    i.serves()


@test(150, fresh=True)
def remove_purge_and_reinstall(i, packages):
    i.install(packages.deb(1))
    i.serves()
    image = i.create_image(b"precious")
    i.write(CONF, i.read(CONF) + "\n# mine\n")
    i.run("apt-get -q -y remove glance-api")
    check(not i.run("ss -Hltn 'sport = :9292'").strip(), "nothing listens")
    check(not i.workers("active,activating,deactivating"), "no worker")
    check("# mine" in i.read(CONF), "the file stays")
    i.run("systemctl daemon-reload && test ! -e /run/systemd/generator/glance-api.socket.d")
    i.install(packages.deb(1))
    check("# mine" in i.read(CONF), "the file has survived")
    check(i.request(path=f"/v2/images/{image}/file")[2] == b"precious", "data have survived")
    i.run("apt-get -q -y purge glance-api")
    i.run(f"test ! -e {CONF} && test ! -e /etc/glance && test ! -e /var/cache/glance && test ! -e /usr/bin/glance-api")
    i.run(f"test -s /var/lib/glance/images/{image}")
    check(not i.run("find /etc/systemd /usr/lib/systemd /run/systemd/generator /var/lib/systemd/deb-systemd-helper* "
                    "-name '*glance*' 2>/dev/null || true").strip(), "nothing is left")
    i.install(packages.deb(1))
    check(i.request(path=f"/v2/images/{image}/file")[2] == b"precious", "data are found again")


@test(60, fresh=True)
def an_address_that_changes_with_the_upgrade_is_taken_up(i, packages):
    i.install(packages.deb(1))
    i.serves()
    i.write(CONF, i.read(CONF).replace("#bind_port = 9292", "bind_port = 9393"))
    i.install(packages.deb(2))
    i.serves(port=9393)


@test(120, packages_only=True)
def lintian_and_rpmlint_are_content(packages):
    for suffix in ("", "+systemd254"):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", packages.deb(1, suffix=suffix)], text=True, capture_output=True)
        check(done.returncode == 0 and not done.stdout.strip(), done.stdout, done.stderr)
    done = subprocess.run(["rpmlint", "-c", PROJECT / "packaging/rpm/rpmlint.toml", packages.rpm(1)], text=True, capture_output=True)
    check(done.returncode == 0 and "0 errors, 0 warnings" in done.stdout, done.stdout, done.stderr)


@test(30, packages_only=True, thorough=True)
def two_compilations_in_different_folders_give_the_same_bytes(packages):
    for built in (packages.deb(1, suffix=""), packages.rpm(1)):
        check(filecmp.cmp(packages.again(built), built, shallow=False), packages.again(built), "differs from", built)


@test(180, fresh=True)
def the_rpm_is_installed_run_and_erased(i, packages):
    serves = ("systemctl start glance-api.socket && curl -sS -m 20 http://127.0.0.1:9292/v2/images | grep -q images && "
              "systemctl reload glance-api && glance-api-rolling-restart && curl -sS -m 20 http://127.0.0.1:9292/v2/images")
    done = subprocess.run([TESTBED, "rpm-check", "--release", i.release, "--include", "procps", packages.rpm(1), "--run", serves],
                          text=True, capture_output=True)
    check(done.stdout.startswith("{"), done.stderr)
    report = json.loads(done.stdout)
    check(done.returncode == 0 and not report["problems"], report["problems"])
    left = [path for path in report["left_behind"] if not path.startswith(("/var/lib/glance", "/var/cache/glance", "/var/log/glance"))]
    # The user stays; the rest are folders that every rpm distribution has.
    theirs = ("/etc/group", "/etc/passwd", "/etc/shadow", "/etc/gshadow", "/usr/share/man/", "/usr/share/zsh/site-functions", "/usr/share/fish")
    left = [path for path in left if not path.startswith(theirs) and path != "/usr/share/licenses"]
    check(not left, "left behind:", left)
