"""Runs tests of tempest and of its plugin for the Image service, from their released packages.

usage: tempest_tests.py REGION URL NAME..., in an own folder, with the OS_ variables of the cloud's administrator
A name is that of a class, a module or a package. REGION is the one whose Image service is meant, URL another host of that.
The last line that is printed is a JSON object: for each test "passed", "skipped" or what went wrong.
"""

import configparser
import functools
import http.server
import importlib
import json
import os
import pathlib
import pkgutil
import subprocess
import sys
import threading
import unittest

import openstack


# The type of service under which the catalogue has the other host.
OTHER_HOST = "image_remote"


class Outcomes(unittest.TestResult):
    """What became of each test; of a class, where it cannot even begin."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def addSuccess(self, test):
        self.found.setdefault(test.id(), "passed")

    def addSkip(self, test, reason):
        self.found[test.id()] = f"skipped: {reason}"

    def addError(self, test, error, details=None):
        self.found[test.id()] = self._exc_info_to_string(error, test) if error else str(details)

    addFailure = addError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def web():
    """Serves the images that tests have imported; returns the address."""
    folder = pathlib.Path("web").resolve()
    folder.mkdir()
    (folder / "small.raw").write_bytes(os.urandom(1 << 20))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "small.qcow2", "1M"], check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def announce(region, url):
    """Puts the other host into the catalogue."""
    cloud = openstack.connect()
    service = cloud.identity.create_service(name=OTHER_HOST, type=OTHER_HOST)
    cloud.identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=region)


def configure(region, images):
    wanted = {
        "DEFAULT": {"log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": pathlib.Path("lock").resolve()},
        "auth": {"use_dynamic_credentials": "true", "admin_username": os.environ["OS_USERNAME"],
                 "admin_password": os.environ["OS_PASSWORD"], "admin_project_name": os.environ["OS_PROJECT_NAME"],
                 "admin_domain_name": "Default", "create_isolated_networks": "false"},
        "identity": {"uri_v3": os.environ["OS_AUTH_URL"], "auth_version": "v3", "region": os.environ["OS_REGION_NAME"]},
        "service_available": {"glance": "true", "nova": "false", "cinder": "false", "neutron": "false", "swift": "false"},
        "image": {"region": region, "build_timeout": "300", "build_interval": "1", "image_caching_enabled": "true",
                  "http_image": f"{images}/small.raw", "http_qcow2_image": f"{images}/small.qcow2",
                  "alternate_image_endpoint": OTHER_HOST},
        "image-feature-enabled": {"manage_locations": "true", "http_store_enabled": "true", "store_weight_enabled": "true",
                                  "image_format_enforcement": "false"},
        "enforce_scope": {"glance": "true", "keystone": "true"},
        "validation": {"run_validation": "false"},
    }
    conf = configparser.ConfigParser(interpolation=None)
    conf.read_dict(wanted)
    with open("tempest.conf", "w") as file:
        conf.write(file)
    for name in [name for name in os.environ if name.startswith("OS_")]:
        del os.environ[name]
    os.environ.update(TEMPEST_CONFIG_DIR=os.getcwd(), TEMPEST_CONFIG="tempest.conf")


def modules(name):
    """A package's modules; anything else is loaded as it is."""
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError:
        return [name]
    if not hasattr(found, "__path__"):
        return [name]
    return [module.name for module in pkgutil.walk_packages(found.__path__, name + ".") if not module.ispkg]


def main():
    region, other_host, *names = sys.argv[1:]
    announce(region, other_host)
    configure(region, web())
    names = [module for name in names for module in modules(name)]
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(outcomes)
    print(json.dumps(outcomes.found))


main()
