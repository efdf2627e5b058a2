"""Workers that die, hang, stop and start anew, under load."""

import time

from bed import WORKERS, check, until
from load import Load, SlowWeb, Transfer
from suite import test

ALL = [f"glance-api@{number}.service" for number in range(1, WORKERS + 1)]


def busy(i):
    """The worker that has a request in flight for longer than a status line is old."""
    def found():
        return [unit for unit in ALL if "1 request in flight" in i.show(unit, "StatusText")]
    def steady():
        before = found()
        time.sleep(2.5)
        return [unit for unit in found() if unit in before]
    return until("a status line tells of the transfer", 10, steady)[0]


@test(90)
def a_killed_worker_takes_only_its_own_requests_and_is_back_within_a_second(i):
    with Load(i, threads=4) as load:
        for unit in ALL:
            time.sleep(0.5)
            before, pid = len(load.failures), i.main_pid(unit)
            i.run(f"kill -9 {pid}")
            killed = time.monotonic()
            until("it is back", 10, lambda: i.active(unit) and i.main_pid(unit) not in (0, pid))
            time.sleep(0.5)
            broken = load.failures[before:]
            # A client has one request at a time: those of the other workers go on.
            check(len(broken) <= 4 and all(abs(when - killed) < 0.5 for when, _ in broken), load.verdict())
            check(not any("refused" in what for _, what in broken), load.verdict())
    back = [i.run(f"journalctl -o short-unix --no-pager -u {unit} -g 'Main process exited|Started glance-api'") for unit in ALL]
    for text in back:
        lines = [line.split() for line in text.splitlines() if line[:1].isdigit()]
        gaps = [float(after[0]) - float(before[0]) for before, after in zip(lines, lines[1:])
                if "exited," in before and "Started" in after]
        check(gaps and min(gaps) <= gaps[-1] < 1.0, "by the journal:", gaps, text)
    check(i.active("glance-api.socket"), "the socket")


@test(60)
def a_hung_worker_is_killed_by_the_watchdog_and_comes_back(i):
    i.drop_in("glance-api@2.service", "[Service]\nWatchdogSec=2s\n")
    i.run("systemctl daemon-reload && systemctl restart glance-api@2")
    pid = i.main_pid("glance-api@2.service")
    time.sleep(4)
    check(i.main_pid("glance-api@2.service") == pid, "a healthy one is left alone")
    i.run(f"kill -STOP {pid}")
    until("another process", 15, lambda: i.active("glance-api@2.service") and i.main_pid("glance-api@2.service") not in (0, pid))
    check("watchdog" in i.run("journalctl --no-pager -u glance-api@2.service").lower(), "the journal says why")
    i.serves()


@test(120)
def a_rolling_restart_under_load_fails_no_request(i):
    pids = [i.main_pid(unit) for unit in ALL]
    with Load(i) as load:
        for _ in range(3):
            i.run("glance-api-rolling-restart")
    check(not load.failures and load.good > 50, load.verdict())
    check(not set(pids) & {i.main_pid(unit) for unit in ALL} and i.workers() == ALL, "every worker is another process")


@test(120)
def restarting_the_umbrella_under_load_fails_no_request(i):
    with Load(i) as load:
        for _ in range(3):
            i.run("systemctl restart glance-api")
            time.sleep(0.5)
    check(not load.failures and load.good > 50, load.verdict())
    check(i.workers() == ALL, i.workers())


@test(90, running=False)
def a_rolling_restart_of_one_worker_alone_fails_no_request(i):
    i.configure("[DEFAULT]\nworkers = 1\n")
    i.run("systemctl daemon-reload; systemctl start glance-api")
    image = i.create_image()
    upload = Transfer(i, image, 4 << 20, 6, upload=True)
    with Load(i) as load:
        upload.start()
        upload.started.wait(10)
        began = time.monotonic()
        i.run("glance-api-rolling-restart")
        took = time.monotonic() - began
    upload.join(30)
    check(upload.status == 204, upload.error, upload.status)
    check(not load.failures and load.slowest < 3, load.verdict(), f"restart took {took:.1f} s")
    until("the spare one goes", 10, lambda: i.workers() == ["glance-api@1.service"])


@test(60)
def a_rolling_restart_stops_at_the_first_that_does_not_start(i):
    i.write("/etc/glance/glance-api.conf", "[DEFAULT]\napi_limit_max = many\n")
    i.run("glance-api-rolling-restart", expect=1)
    check(i.workers() == ALL[1:], i.workers())
    i.serves()


def limit_stops(i, seconds):
    for unit in ALL:
        i.drop_in(unit, f"[Service]\nTimeoutStopSec={seconds}s\n")
    i.run("systemctl daemon-reload")


@test(300)
def a_stop_lets_an_upload_of_gigabytes_finish_while_the_others_serve(i):
    # Less than the upload takes: only bytes that move give the worker more time.
    limit_stops(i, 4)
    i.configure("[service]\ngraceful_shutdown_timeout = 200\n")
    i.run("systemctl restart glance-api")
    size = 3 << 30
    image = i.create_image()
    upload = Transfer(i, image, size, 20, upload=True)
    upload.start()
    upload.started.wait(10)
    unit = busy(i)
    with Load(i) as load:
        began = time.monotonic()
        i.run(f"systemctl stop --no-block {unit}")
        until("it stops", 5, lambda: i.show(unit, "ActiveState") == "deactivating")
        # systemd calls it deactivating before the signal has reached it.
        until("it says what it waits for", 5, lambda: "1 request in flight" in i.show(unit, "StatusText"))
        upload.join(200)
        check(upload.status == 204, upload.error, upload.status, f"{upload.done} bytes sent", i.show(unit, "StatusText"))
        until("it has stopped", 10, lambda: i.show(unit, "ActiveState") == "inactive")
        took = time.monotonic() - began
    check(took > 6, f"the stop took {took:.1f} s, so the upload was over before the time limit")
    found = i.image(image)
    check(found["status"] == "active" and found["size"] == size, found)
    check(i.request("DELETE", f"/v2/images/{image}")[0] == 204, "delete")
    check(not load.failures and load.good > 100, load.verdict())
    check(i.show(unit, "Result") == "success", i.show(unit, "Result"))


@test(90)
def a_stop_lets_an_import_finish(i):
    limit_stops(i, 3)
    port, size = 8000, 1 << 20
    i.configure(f"[service]\ngraceful_shutdown_timeout = 60\n[import_filtering_opts]\nallowed_hosts = [127.0.0.1]\nallowed_ports = [{port}]\n")
    i.run("systemctl restart glance-api")
    web = SlowWeb(i, port, size, 14)
    web.start()
    image = i.create_image()
    i.begin_import(image, {"name": "web-download", "uri": f"http://127.0.0.1:{port}/"})
    check(web.asked.wait(10), "nobody asks for the data")
    unit = until("a status line tells of the import", 10,
                 lambda: next((unit for unit in ALL if "1 task running" in i.show(unit, "StatusText")), None))
    began = time.monotonic()
    i.run(f"systemctl stop --no-block {unit}")
    until("it says what it waits for", 3, lambda: "waiting for 1 task" in i.show(unit, "StatusText"))
    until("it has stopped", 30, lambda: i.show(unit, "ActiveState") in ("inactive", "failed"))
    took = time.monotonic() - began
    check(i.show(unit, "Result") == "success", i.show(unit, "Result"), f"after {took:.1f} s, {web.done} bytes sent")
    check(took > 5, f"the stop took {took:.1f} s, so the import was over before the time limit")
    found = i.image(image)
    check(found["status"] == "active" and found["size"] == size, found)


@test(90)
def a_stop_does_not_wait_for_ever(i):
    # Shorter still; the worker asks for what it needs.
    limit_stops(i, 3)
    i.configure("[service]\ngraceful_shutdown_timeout = 5\n")
    i.run("systemctl restart glance-api")
    image = i.create_image()
    upload = Transfer(i, image, 64 << 20, 60, upload=True)
    upload.start()
    upload.started.wait(10)
    unit = busy(i)
    began = time.monotonic()
    i.run(f"systemctl stop {unit}")
    took = time.monotonic() - began
    check(3 < took < 12, f"{took:.1f} s")
    upload.join(20)
    check(upload.error or upload.status != 204, "the upload was cut off")
    check(i.show(unit, "Result") == "success", i.show(unit, "Result"))
    # In a while, whoever looks finds that nobody uploads it any more.
    until("the image waits for data again", 75, lambda: i.image(image)["status"] == "queued")
