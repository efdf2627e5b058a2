"""A stand-in for Keystone that knows whatever callers upstream's tests make up: a token is its caller, written down."""

import base64
import http.server
import json
import threading
import urllib.parse

SERVICE = {"user": "glance", "project": "service", "roles": ["admin", "service"]}


def token(caller):
    return base64.urlsafe_b64encode(json.dumps(caller).encode()).decode()


def caller_of(text):
    """Raises ValueError when that is no token."""
    return json.loads(base64.urlsafe_b64decode(text))


def named(name):
    return {"id": name, "name": name, "domain": {"id": "default", "name": "Default"}}


class Identity:
    def __init__(self):
        # The registered limits by the names of their resources.
        self.limits = {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.identity = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/v3"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def account(self):
        """What a section with a service account holds."""
        return {"auth_url": self.url, "auth_type": "password", "username": "glance", "password": "secret",
                "project_name": "service", "user_domain_name": "Default", "project_domain_name": "Default"}

    def about(self, caller):
        """What Keystone says of a token."""
        endpoints = [{"interface": interface, "region_id": "RegionOne", "region": "RegionOne", "url": self.url}
                     for interface in ("public", "internal", "admin")]
        told = {"issued_at": "2020-01-01T00:00:00.000000Z", "expires_at": "2100-01-01T00:00:00.000000Z",
                "methods": ["password"], "user": named(caller["user"]),
                "roles": [named(role) for role in caller["roles"]],
                "catalog": [{"type": "identity", "name": "keystone", "endpoints": endpoints}]}
        if caller["project"]:
            told["project"] = named(caller["project"])
        return {"token": told}

    def document(self, path):
        """What Keystone keeps limits by; None where there is no such thing."""
        registered = [{"resource_name": name, "default_limit": limit} for name, limit in self.limits.items()]
        return {"/limits/model": {"model": {"name": "flat"}},
                "/endpoints/ENDPOINT_ID": {"endpoint": {"service_id": "glance", "region_id": "RegionOne"}},
                "/registered_limits": {"registered_limits": registered},
                "/limits": {"limits": []}}.get(path)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece.
    wbufsize = 1 << 16

    def do_POST(self):
        """The service logs in; nobody else does."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, self.server.identity.about(SERVICE), token(SERVICE))

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path.removeprefix("/v3")
        if path != "/auth/tokens":
            document = self.server.identity.document(path)
            return self.answer(404 if document is None else 200, document or {})
        subject = self.headers["X-Subject-Token"]
        try:
            self.answer(200, self.server.identity.about(caller_of(subject)), subject)
        except ValueError:
            self.answer(404, {})

    def answer(self, status, document, subject=None):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if subject:
            self.send_header("X-Subject-Token", subject)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
