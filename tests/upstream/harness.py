"""Puts a program into the place of upstream's application, in this process and for one test.

Upstream's tests load their application from a paste file and call it; everything else they do by oslo.config, in the
database and on the disk, which it shares with them. So `install` replaces what loads it, and what stays in memory: the rules
of policies, and limits.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import types
from unittest import mock

from oslo_config import cfg
from oslo_db import options as database_options
import webob

# No test over HTTP has a store of this kind, and its driver wants three more packages; a module of upstream's imports it
# all the same.
sys.modules["glance_store._drivers.cinder"] = types.ModuleType("cinder")

from glance import housekeeping, policies
from glance.api import policy
from glance.api.v2 import cached_images
from glance.common import config
from glance.tests import functional, utils
from glance.tests.functional.v2 import test_discovery, test_images

import identity

# Of the pipelines that the service gets.
FLAVOR = "tests"
START_SECONDS = 30
ANSWER_SECONDS = 60
# Of a request, what is not passed on: the connection's own, and the caller, who goes as a token.
HELD_BACK = {"host", "content-length", "x-auth-token", "x-identity-status", "x-user-id", "x-tenant-id", "x-project-id",
             "x-roles"}
# Who calls upstream's application itself need not read an answer, and what is not read does not get into the cache. Here it
# is read, so that the second download of this test would come from there.
WITHOUT_CACHE = "TestImagesSingleStore.test_download_image_raises_service_unavailable"


class Service:
    """What start_server() of a test has started. The program itself starts with the first request, when the test has set its
    options, and anew with the first one after some of them have changed."""

    def __init__(self, harness, pipeline, paste_file):
        self.harness = harness
        self.folder = pathlib.Path(paste_file).parent / "service"
        self.folder.mkdir(exist_ok=True)
        self.conf, self.paste_file = self.folder / "glance-api.conf", self.folder / "glance-api-paste.ini"
        self.pipeline = pipeline
        self.paste_file.write_text(for_service(pathlib.Path(paste_file).read_text(), pipeline))
        self.process, self.port, self.options = None, None, None

    def __call__(self, request):
        """The webob response to a webob request, as a WSGI application of webob's gives it."""
        options = self.harness.options(self)
        if options != self.options:
            self.stop()
            self.start(options)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, ANSWER_SECONDS, blocksize=1 << 16)
        is_stream = request.content_length is None and request.is_body_readable
        body = request.body_file_raw if is_stream else request.body or None
        # A request may be refused before it is sent as a whole.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(request.method, request.path_qs, body, self.headers(request.headers))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        print(request.method, request.path_qs, answer.status, text[:300] if answer.status >= 400 else "", flush=True)
        status = f"{answer.status} {answer.reason}"
        hops = ("transfer-encoding", "connection")
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in hops]
        response = webob.Response(status=status, headerlist=headers, app_iter=[text])
        response.request = request
        return response

    def headers(self, given):
        # The address that is in documents, as tests expect it.
        headers = {"Host": "localhost"}
        headers.update((name, value) for name, value in given.items() if name.lower() not in HELD_BACK)
        if caller := self.caller(given):
            headers["X-Auth-Token"] = identity.token(caller)
        return headers

    def caller(self, headers):
        """Whom upstream's pipelines for tests would believe in."""
        if self.pipeline == "glance-api-fake":
            user, project, roles = headers["X-Auth-Token"].split(":")
            project = None if project.lower() == "none" else project
        elif headers.get("X-Identity-Status") == "Confirmed":
            user, roles = headers.get("X-User-Id"), headers.get("X-Roles", "")
            project = headers.get("X-Project-Id") or headers.get("X-Tenant-Id")
        else:
            return None
        roles = [role.strip() for role in roles.split(",") if role.strip()]
        return {"user": user, "project": project, "roles": roles}

    def start(self, options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = options
        self.conf.write_text(f"[DEFAULT]\nbind_port = {self.port}\n{options}")
        self.process = subprocess.Popen([self.harness.program, "--config-file", self.conf], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.port)).close()
            time.sleep(0.01)
        raise RuntimeError("the service has not started")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(START_SECONDS)
            self.process = None


class Harness:
    """Where upstream's application was: what the test has set, and its service."""

    def __init__(self, program, database, test_id):
        self.program, self.database, self.test_id = program, database, test_id
        self.identity = identity.Identity()
        self.set, self.service = {}, None

    def options(self, service):
        """A glance-api.conf with all but the port: what a deployment has, then what the test has set."""
        sections = {
            "DEFAULT": {"bind_host": "127.0.0.1", "workers": 1},
            "service": {"state_directory": service.folder / "state"},
            "keystone_authtoken": {"www_authenticate_uri": self.identity.url, **self.identity.account()},
            "oslo_limit": self.identity.account(),
            "paste_deploy": {"flavor": FLAVOR, "config_file": service.paste_file},
        }
        for section, options in self.set.items():
            sections.setdefault(section, {}).update(options)
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{name} = {spelled(value)}" for name, value in options.items())]
        return "\n".join(lines)

    def load(self, pipeline, conf_file):
        """In place of upstream's load_paste_app."""
        if self.service:
            self.service.stop()
        # Tests tell the worker of the cache in this process not to work; there is one in the service.
        cached_images.WORKER = mock.Mock()
        if self.test_id.endswith(WITHOUT_CACHE):
            pipeline = "glance-api"
        self.service = Service(self, pipeline, conf_file)
        return self.service

    def fill(self, engine):
        """In place of upstream's db_sync, which takes seconds."""
        engine.dispose()
        shutil.copyfile(self.database, engine.url.database)

    def write_rules(self, rules):
        """The rules that a test leaves to its enforcer, and no others, as the policy file that the service watches."""
        missing = "rule:default" if "default" in rules else "!"
        texts = {rule.name: missing for rule in policies.list_rules()}
        texts.update((name, str(check)) for name, check in rules.items())
        path = cfg.CONF.oslo_policy.policy_file
        pathlib.Path(path + ".new").write_text(json.dumps(texts))
        os.replace(path + ".new", path)


def for_service(paste, pipeline):
    """Upstream's pipelines for tests, which believe what is in the headers, as ones that ask for tokens; and the health check
    beside them, as the service has it, not behind them."""
    # A factory follows its module after the blanks of a line that was broken in upstream's source.
    paste = re.sub(r":\s+(\w+\.factory)", r":\1", paste)
    paste = re.sub(r"(?<= )(fakeauth )?context(?= )", "authtoken context", paste)
    paste = paste.replace("/healthcheck: healthcheck\n", "")
    return f"""{paste}
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
[composite:glance-api-{FLAVOR}]
paste.composite_factory = glance.api:root_app_factory
/: {pipeline}
/healthcheck: healthcheck
"""


def spelled(value):
    """A value as it stands in a configuration file. All lists that tests set are of the kind with brackets."""
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" for key, item in value.items())
    return value


def install(program, database, test_id):
    # Upstream's tests leave that to a module that only some of them import.
    database_options.set_defaults(cfg.CONF)
    harness = Harness(program, database, test_id)
    upstream_config, upstream_start = utils.BaseTestCase.config, functional.SynchronousAPIBase.start_server
    upstream_rules, upstream_limits = policy.Enforcer.set_rules, test_images.get_enforcer_class

    def set_options(test, group=None, **options):
        harness.set.setdefault(group or "DEFAULT", {}).update(options)
        upstream_config(test, group=group, **options)

    def start_server(test, *args, **options):
        upstream_start(test, *args, **options)
        test.addCleanup(test.api.stop)

    def set_rules(enforcer, rules, overwrite=True, use_conf=False):
        upstream_rules(enforcer, rules, overwrite, use_conf)
        # Else they come from the file.
        if not use_conf:
            harness.write_rules(rules)

    def set_limits(limits):
        harness.identity.limits = limits
        return upstream_limits(limits)

    config.load_paste_app = harness.load
    utils.db_sync = lambda engine: harness.fill(engine)
    utils.BaseTestCase.config = set_options
    functional.SynchronousAPIBase.start_server = start_server
    policy.Enforcer.set_rules = set_rules
    test_images.get_enforcer_class = test_discovery.get_enforcer_class = set_limits
    # The service has to do this itself.
    housekeeping.StagingStoreCleaner = mock.Mock()
