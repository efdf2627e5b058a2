"""Socket, umbrella, workers: who starts and stops whom, and what the generator makes of glance-api.conf."""

import concurrent.futures
import itertools
import random
import re
import time

from bed import CONFIGURATION, PORT, WORKERS, check, until
from suite import test

ALL = [f"glance-api@{number}.service" for number in range(1, WORKERS + 1)]


@test(60, running=False)
def the_first_connection_starts_all_workers(i):
    check(i.active("glance-api.socket") and not i.workers("active,activating"), "the socket alone")
    i.serves()
    until("all workers run", 10, lambda: i.workers() == ALL)
    until("the umbrella is up", 5, lambda: i.active("glance-api.service"))


@test(60)
def workers_share_one_socket_and_all_get_work(i):
    held = []

    def ask(_):
        connection = i.connect()
        held.append(connection)
        connection.sendall(b"GET /v2/images HTTP/1.1\r\nHost: test\r\n\r\n")
        check(connection.recv(100).startswith(b"HTTP/1.1 200"), "an answer")

    def counts():
        found = [re.search(r"(\d+) open connection", i.show(unit, "StatusText")) for unit in ALL]
        numbers = [int(match[1]) if match else 0 for match in found]
        return numbers if sum(numbers) == len(held) else None

    try:
        # A worker that is awake takes what comes. The others get their share when it is busy: when many come at once.
        for _ in range(8):
            with concurrent.futures.ThreadPoolExecutor(20) as threads:
                list(threads.map(ask, range(60)))
            shares = until("the status lines add up", 10, counts)
            if min(shares) > 0:
                break
        check(min(shares) > 0, "every worker has some:", shares)
    finally:
        for connection in held:
            connection.close()


@test(60)
def the_socket_never_blocks_whoever_starts(i):
    i.run("systemctl start glance-api@7 && systemctl restart glance-api-activation")
    for unit in i.workers():
        flags = int(re.search(r"flags:\s*(\d+)", i.read(f"/proc/{i.main_pid(unit)}/fdinfo/3"))[1], 8)
        check(flags & 0o4000, "O_NONBLOCK on the socket of", unit)


@test(60, running=False)
def without_an_address_the_socket_is_dual_stack_with_a_long_backlog(i):
    i.configure(base=CONFIGURATION.replace("bind_host = 127.0.0.1", ""), extra="[service]\nallow_unauthenticated_listen = true\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api.socket")
    listening = i.run("ss -Hltn 'sport = :9292'").split()
    check(listening[2] == "4096" and listening[3] == "*:9292", listening)
    i.serves()
    check(i.request(host="::1")[0] == 200, "IPv6")
    with_timer = i.connect()
    with_timer.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: test\r\n\r\n")
    with_timer.recv(100)
    timers = i.run("ss -Htno state established 'sport = :9292'")
    check(re.search(r"keepalive,(9min|10min)", timers), "600 s of keep-alive:", timers)
    with_timer.close()


@test(60, running=False)
def the_generator_honours_the_configuration_and_says_so(i):
    i.configure("[DEFAULT]\nbind_port = 9393\nworkers = 2\nbacklog = 77\ntcp_keepidle = 60\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api.socket")
    i.serves(port=9393)
    until("two workers", 10, lambda: len(i.workers()) == 2)
    check("LISTEN 0 77" in " ".join(i.run("ss -Hltn 'sport = :9393'").split()), "backlog")
    check(i.show("glance-api.socket", "KeepAliveTimeUSec") == "1min", i.show("glance-api.socket", "KeepAliveTimeUSec"))
    said = [entry["MESSAGE"] for entry in i.journal("-t glance-api-generator")][-1]
    check("2 workers from /etc/glance/glance-api.conf" in said and "127.0.0.1:9393" in said, said)


@test(60, running=False)
def the_generator_is_fast_and_survives_anything(i):
    program = "/usr/lib/systemd/system-generators/glance-api-generator"
    many = "d=$(mktemp -d); for n in $(seq 20); do %s $d/$n $d $d 2>/dev/null; done; rm -r $d"
    took = min(timed(i, many % program) for _ in range(3)) - min(timed(i, many % "/bin/true") for _ in range(3))
    # A few milliseconds as it is released; this holds also unoptimised, and on a busy machine.
    check(took / 20 < 0.05, f"{took / 20:.3f} s for each run")
    for text in ("", "\0\1\2 nonsense", "[DEFAULT]\nworkers = many\nbind_port = none\nbind_host = nowhere.example\n"):
        i.write("/etc/glance/glance-api.conf", text)
        i.run(f"d=$(mktemp -d) && {program} $d $d $d 2>/dev/null && test -e $d/glance-api.service.wants/glance-api@1.service && rm -r $d")
    i.run(f"rm /etc/glance/glance-api.conf; d=$(mktemp -d) && {program} $d $d $d && grep -q 127.0.0.1:9292 $d/*/*.conf")


def timed(i, command):
    began = time.monotonic()
    i.run(command)
    return time.monotonic() - began


@test(60)
def a_changed_address_moves_the_socket(i):
    pids = [i.main_pid(unit) for unit in ALL]
    i.configure("[DEFAULT]\nbind_port = 9393\n")
    i.run("systemctl daemon-reload")
    check([i.main_pid(unit) for unit in ALL] == pids, "daemon-reload alone disturbs no worker")
    i.run("systemctl restart glance-api.socket")
    i.serves(port=9393)
    try:
        i.connect(port=PORT, timeout=2).close()
    except ConnectionRefusedError:
        return
    check(False, "the old port still answers")


@test(60)
def the_socket_can_be_restarted_under_its_workers(i):
    before = [i.main_pid(unit) for unit in ALL]
    i.run("systemctl restart glance-api.socket")
    i.serves()
    until("new workers", 10, lambda: len(set(map(i.main_pid, ALL)) - set(before) - {0}) == WORKERS)


@test(60)
def a_worker_that_crashes_at_once_takes_nobody_with_it(i):
    i.drop_in("glance-api@9.service", "[Service]\nType=simple\nExecStart=\nExecStart=/bin/false\nRestartSec=20ms\n"
              + ("RestartSteps=0\n" if i.release != "bookworm" else ""))
    i.run("systemctl daemon-reload; systemctl start glance-api@9", expect=None)
    # More than the five starts that systemd's default limit allows.
    until("it is started again and again", 20, lambda: int(i.show("glance-api@9.service", "NRestarts")) > 8)
    check(i.active("glance-api.socket"), "the socket:", i.show("glance-api.socket", "Result"))
    check(set(i.workers()) >= set(ALL), i.workers())
    i.run("systemctl restart glance-api@1")
    i.serves()


@test(40, running=False)
def a_promised_socket_that_is_missing_is_an_error(i):
    i.write("/etc/systemd/system/lonely.service", "[Service]\nType=notify\nExecStart=/usr/bin/glance-api\nUser=glance\n"
            "UnsetEnvironment=HOME\nStateDirectory=glance\n")
    i.run("systemctl stop glance-api.socket; systemctl daemon-reload; systemctl start lonely", expect=1)
    check(i.show("lonely.service", "ExecMainStatus") == "69", i.show("lonely.service", "ExecMainStatus"))
    check("passed no socket" in i.run("journalctl --no-pager -u lonely"), i.run("journalctl --no-pager -u lonely"))
    check(not i.run("ss -Hltn 'sport = :9292'").strip(), "nothing listens")


@test(60)
def workers_are_added_and_taken_away_by_name(i):
    i.run("systemctl enable --now glance-api@5")
    check("glance-api@5.service" in i.workers(), i.workers())
    i.run("systemctl restart glance-api")
    check("glance-api@5.service" in i.workers(), "it comes with the umbrella")
    i.run("systemctl disable --now glance-api@5")
    i.run("systemctl restart glance-api")
    check(i.workers() == ALL, i.workers())
    i.serves()


@test(60)
def stop_and_start_reach_all_workers(i):
    i.run("systemctl stop glance-api")
    check(not i.workers("active,activating,deactivating"), i.workers())
    i.run("systemctl start glance-api")
    check(i.workers() == ALL, i.workers())
    i.run("systemctl stop glance-api.socket")
    check(not i.workers("active,activating,deactivating"), "the socket takes all with it")
    check(not i.run("ss -Hltn 'sport = :9292'").strip(), "nothing listens")
    i.run("systemctl start glance-api")
    i.serves()


@test(300)
def any_order_of_commands_leaves_a_working_service(i):
    # Ten seconds between two activations are for real life.
    i.drop_in("glance-api-activation.service", "[Service]\nExecStart=\nExecStart=sleep 0.3\n")
    i.run("systemctl daemon-reload")
    units = ["glance-api.socket", "glance-api.service", "glance-api@1.service", "glance-api@2.service"]
    commands = [f"{verb} {unit}" for verb, unit in itertools.product(("stop", "start", "restart"), units)]
    pairs = list(itertools.product(commands, commands))
    random.Random(1).shuffle(pairs)
    # Each state begins where the last pair left it.
    for number, (first, second) in enumerate(pairs):
        i.run(f"systemctl {first}; systemctl {second}", expect=None)
        if not i.active("glance-api.socket"):
            i.run("systemctl start glance-api.socket")
        try:
            i.serves(timeout=15)
        except Exception as error:
            raise AssertionError(f"pair {number}: after {first}; {second}: {error!r}\n{i.log()}") from error


@test(60)
def stopped_workers_stay_stopped_while_others_serve(i):
    i.run("systemctl stop glance-api@2")
    for _ in range(20):
        i.serves()
    i.run("systemctl restart glance-api@1")
    check(i.workers() == ["glance-api@1.service", "glance-api@3.service"], i.workers())


@test(60)
def one_slice_holds_all_workers_and_accounts_for_them(i):
    for unit in ALL:
        check(i.show(unit, "ControlGroup").endswith(f"system-glance.slice/{unit}"), i.show(unit, "ControlGroup"))
        check(i.show(unit, "MemoryAccounting") == "yes" and i.show(unit, "OOMPolicy") == "stop", unit)


@test(90)
def after_a_reboot_the_socket_is_there(i):
    i.run("systemctl is-enabled glance-api.socket")
    i.reboot()
    check(i.active("glance-api.socket") and not i.workers("active,activating"), "the socket alone")
    i.serves()
    until("all workers run", 20, lambda: i.workers() == ALL)
    said = i.journal("-b -t glance-api-generator")
    check(i.succeeds("test -e /run/systemd/generator/glance-api.socket.d/50-glance-api-conf.conf"), said)
