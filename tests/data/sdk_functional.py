"""Runs the functional tests of openstacksdk that are about images, from its released package.

usage: functional.py, in an own folder, with the OS_ variables of a client
The last line that it prints is a JSON object: for each test "passed", "skipped" or what went wrong.
What the tests need of oslotest, testtools and fixtures, which no client has, is here in a few lines.
"""

import json
import os
import pkgutil
import sys
import types
import unittest


class Fixture:
    def setUp(self):
        self.cleanups = []

    def addCleanup(self, function):
        self.cleanups.append(function)


class BaseTestCase(unittest.TestCase):
    def useFixture(self, fixture):
        fixture.setUp()
        for function in fixture.cleanups:
            self.addCleanup(function)
        return fixture

    def addOnException(self, handler):
        pass


def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)
    return sys.modules[name]


module("fixtures", Fixture=Fixture, EnvironmentVariable=lambda name, value: Fixture())
module("oslotest", base=module("oslotest.base", BaseTestCase=BaseTestCase))
module("testtools", content=module("testtools.content"))


class Outcomes(unittest.TestResult):
    """What became of each test."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def addSuccess(self, test):
        self.found.setdefault(test.id(), "passed")

    def addSkip(self, test, reason):
        self.found[test.id()] = "skipped"

    def addError(self, test, error):
        self.found[test.id()] = self._exc_info_to_string(error, test)

    addFailure = addError


def cloud(user, **scope):
    auth = {"auth_url": os.environ["OS_AUTH_URL"], "username": user, "password": os.environ["OS_PASSWORD"],
            "user_domain_id": "default", **scope}
    return {"auth": auth, "region_name": os.environ["OS_REGION_NAME"], "identity_api_version": "3",
            "image_endpoint_override": os.environ["OS_IMAGE_ENDPOINT_OVERRIDE"]}


def project(name):
    return cloud("admin" if name == "admin" else name, project_name=name, project_domain_id="default")


def main():
    clouds = {"devstack": project("demo"), "devstack-alt": project("alt_demo"), "devstack-admin": project("admin"),
              "devstack-system-admin": cloud("admin", system_scope="all")}
    with open("clouds.yaml", "w") as file:
        json.dump({"clouds": clouds}, file)
    with open("CONTRIBUTING.rst", "w") as file:
        file.write("What the tests upload.\n")
    for name in [name for name in os.environ if name.startswith("OS_")]:
        del os.environ[name]
    os.environ["OPENSTACKSDK_IMAGE"] = "base"

    import openstack
    from openstack.tests.functional.image import v2
    openstack.connect(cloud="devstack-admin").image.create_image(
        "base", disk_format="raw", container_format="bare", visibility="public", data=b"base")
    names = [f"{v2.__name__}.{found.name}" for found in pkgutil.iter_modules(v2.__path__) if found.name.startswith("test_")]
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(outcomes)
    print(json.dumps(outcomes.found))


main()
