"""Limits that a Keystone keeps for the Image service."""

import keystone


def register(told, wanted):
    """Makes limits what WANTED says: {"registered": {resource: limit}, "projects": {project: {resource: limit}},
    "domain": {resource: limit}}."""
    url = told["url"]
    token = keystone.log_in(url, "admin", "system")
    services = keystone.api("GET", f"{url}/services?type=image", token)[1]["services"]
    common = {"service_id": services[0]["id"], "region_id": "RegionOne"}
    # Keystone changes no registered limit that projects have limits of their own for.
    query = "&".join(f"{name}={value}" for name, value in common.items())
    for limit in keystone.api("GET", f"{url}/limits?{query}", token)[1]["limits"]:
        keystone.api("DELETE", f"{url}/limits/{limit['id']}", token)
    put(url, token, "registered_limits", "default_limit", common, wanted.get("registered", {}))
    put(url, token, "limits", "resource_limit", {**common, "domain_id": "default"}, wanted.get("domain", {}))
    for project, limits in wanted.get("projects", {}).items():
        put(url, token, "limits", "resource_limit", {**common, "project_id": told["projects"][project]}, limits)


def put(url, token, kind, field, common, limits):
    query = "&".join(f"{name}={value}" for name, value in common.items())
    known = {item["resource_name"]: item["id"] for item in keystone.api("GET", f"{url}/{kind}?{query}", token)[1][kind]}
    for name, value in limits.items():
        if name in known:
            keystone.api("PATCH", f"{url}/{kind}/{known[name]}", token, {kind[:-1]: {field: value}})
        else:
            keystone.api("POST", f"{url}/{kind}", token, {kind: [{**common, "resource_name": name, field: value}]})
