"""Clients that do not stop while something is done to the service, and remember every failure."""

import contextlib
import http.client
import socket
import threading
import time


class Load:
    """THREADS clients, each with a new connection for each request. Use it as a context; `failures` must stay empty."""

    def __init__(self, instance, threads=4, path="/v2/images", timeout=30):
        self.instance, self.path, self.timeout = instance, path, timeout
        self.failures, self.good, self.slowest = [], 0, 0.0
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(self.timeout + 5)

    def client(self):
        while not self.ending.is_set():
            began = time.monotonic()
            try:
                status, _, body = self.instance.request(path=self.path, timeout=self.timeout)
                failure = None if status == 200 else f"status {status}: {body[:100]}"
            except (OSError, http.client.HTTPException) as error:
                failure = f"{type(error).__name__}: {error}"
            took = time.monotonic() - began
            with self.lock:
                self.slowest = max(self.slowest, took)
                if failure:
                    self.failures.append((time.monotonic(), failure))
                else:
                    self.good += 1
            # Two cores serve clients, workers and all that the test does.
            time.sleep(0.005)

    def verdict(self):
        return f"{self.good} good, {len(self.failures)} failed, slowest {self.slowest:.2f} s; {[f for _, f in self.failures[:5]]}"


class Transfer(threading.Thread):
    """One long upload or download at a set pace, until `finish` or its end. `error` says what broke it."""

    def __init__(self, instance, image, size, seconds, upload):
        super().__init__(daemon=True)
        self.instance, self.image, self.size, self.seconds, self.upload = instance, image, size, seconds, upload
        self.done, self.error, self.status = 0, None, None
        self.started = threading.Event()
        # Connected before the caller goes on.
        self.socket = instance.connect(timeout=60)

    def run(self):
        try:
            self.put() if self.upload else self.get()
        except (OSError, http.client.HTTPException) as error:
            self.error = f"{type(error).__name__}: {error}"

    def paced(self, chunk):
        """Sleeps so that SIZE takes SECONDS."""
        self.done += chunk
        ahead = self.began + self.seconds * self.done / self.size - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)

    def put(self):
        head = (f"PUT /v2/images/{self.image}/file HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {self.size}\r\nConnection: close\r\n\r\n")
        self.socket.sendall(head.encode())
        self.began = time.monotonic()
        block = b"x" * (1 << 18)
        while self.done < self.size:
            part = block[:min(len(block), self.size - self.done)]
            self.socket.sendall(part)
            self.started.set()
            self.paced(len(part))
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        self.status = answer.status

    def get(self):
        head = f"GET /v2/images/{self.image}/file HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        self.socket.sendall(head.encode())
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        self.status = answer.status
        self.began = time.monotonic()
        while True:
            part = answer.read(1 << 18)
            if not part:
                break
            self.started.set()
            self.paced(len(part))
        if self.done != self.size:
            self.error = f"{self.done} of {self.size} bytes"


class SlowWeb(threading.Thread):
    """A web server in the instance's network: whoever asks first gets SIZE bytes within SECONDS. `done`: so many were sent."""

    def __init__(self, instance, port, size, seconds):
        super().__init__(daemon=True)
        self.size, self.seconds, self.done = size, seconds, 0
        self.asked = threading.Event()
        with instance.network():
            self.listener = socket.create_server(("127.0.0.1", port))

    def run(self):
        client, _ = self.listener.accept()
        # Who has asked may be killed.
        with self.listener, client, contextlib.suppress(OSError):
            client.recv(1 << 16)
            client.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {self.size}\r\n\r\n".encode())
            self.asked.set()
            began = time.monotonic()
            while self.done < self.size:
                part = min(1 << 12, self.size - self.done)
                client.sendall(bytes(part))
                self.done += part
                time.sleep(max(0, began + self.seconds * self.done / self.size - time.monotonic()))
