#!/usr/bin/env python3
"""Writes down what upstream's own code answers, for the tests of this room.

Run with the interpreter of an environment that has glance 33.0.0: `python record.py`, in this directory. Nothing is
listened on; the WSGI applications are called in the process.
"""

import json
import os
import pathlib
import sys
import tempfile

import webob
import webob.exc
from oslo_config import cfg
from oslo_middleware import cors, healthcheck, http_proxy_to_wsgi
from webob.acceptparse import create_accept_header

from keystonemiddleware import audit
from keystonemiddleware.auth_token import _request

from glance.api.middleware import version_negotiation
from glance.common import config as glance_config
from glance import image_cache  # noqa: F401 (registers image_cache_dir)

HERE = pathlib.Path(__file__).resolve().parent


def save(name, cases):
    with open(HERE / f"{name}.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def ask(app, path="/", method="GET", headers=None, **environ):
    """The answer of a WSGI application as plain data."""
    request = webob.Request.blank(path, method=method, headers=headers or {}, environ=environ)
    response = request.get_response(app)
    return {"status": response.status, "headers": {k.lower(): v for k, v in response.headerlist},
            "body": response.body.decode()}


def errors():
    forms = {"plain": None, "html": "*/*", "json": "application/json"}
    cases = []

    def case(code, kind, text, accept, method="GET", content_type=None, headers=None, comment=None):
        kinds = {"stock": {}, "explanation": {"explanation": text}, "detail": {"detail": text}}
        error = webob.exc.status_map[code](headers=headers, comment=comment, **kinds[kind])
        asked = {} if accept is None else {"Accept": accept}
        environ = {} if content_type is None else {"CONTENT_TYPE": content_type}
        cases.append({"code": code, "kind": kind, "text": text, "accept": accept, "method": method,
                      "content_type": content_type, "extra": headers or [], "comment": comment,
                      "answer": ask(error, method=method, headers=asked, **environ)})

    codes = [c for c, e in sorted(webob.exc.status_map.items()) if c >= 400]
    for code in codes:
        for accept in forms.values():
            case(code, "stock", None, accept)
    texts = ["No image found with ID 7", "<b>a</b> & \"b\" 'c' < d > e", "line\r\nbreak\nend", "<brand> x <BR/> y",
             "<!-- c --> d", "a <unclosed", "naïve 🎈 \x7f\x01", "${explanation} $$ {x}", "", "x<y>z<w", "-->", "<br", "a\\b\tc"]
    for text in texts:
        for kind in ("explanation", "detail"):
            for accept in forms.values():
                case(403, kind, text, accept)
    for code in (400, 404, 409, 410, 413, 415, 416, 500, 503, 405, 501):
        for kind in ("explanation", "detail"):
            for accept in forms.values():
                case(code, kind, "Some <text>", accept)
    for method in ("HEAD", "PUT", "FOO<"):
        for code in (404, 405, 415, 501):
            for accept in forms.values():
                case(code, "stock", None, accept, method=method, headers=[["Allow", "GET, POST"]])
    for content_type in ("", "text/plain; charset=x", "a/<b>&"):
        for accept in forms.values():
            case(415, "detail", "Invalid content type x", accept, content_type=content_type,
                 headers=[["Accept-Patch", "a, b"]])
    for accept in forms.values():
        case(431, "stock", None, accept, comment="x-openstack-request-id is too long, max size 64")
        case(401, "stock", None, accept, headers=[["WWW-Authenticate", 'Keystone uri="http://h/v3"']])
    save("errors", cases)


def accepts():
    """What each header picks: for errors, for the health check, and the version it names."""
    values = [None, "", "*/*", "text/html", "application/json", "text/plain", "text/*", "application/*",
              "text/html;q=0.5, application/json", "application/json;q=0.5, text/html", "text/html;q=0, */*",
              "*/*;q=0.1, application/json;q=0.2", "text/html;q=0", "application/json, text/html", "TEXT/HTML",
              "application/JSON", "text/html;level=1", "text/html;level=1, application/json;q=0.1", "garbage", "text",
              "text/", "/html", "text/html;", "text/html;q", "text/html;q=2", "text/html;q=1.0001", "text/html;q=1.000",
              "text/html;q=0.1234", "text/html;q=.5", "text/html;q=", ", ,", ",text/html", "text/html,,application/json",
              "text/html ; q=0.3 , application/json ;q=0.4", "text/html;Q=0.3, application/json", " text/html",
              "text/html ", "*", "*/html", "text/html;a=\"x,y\", application/json;q=0.5", "text/html;a=\"x", "a/b c/d",
              "text/html;q=0.5;ext=1;e2, application/json;q=0.4", "text/html;a", "text/html;q=0.5;x=\"y;z\"",
              "application/json;q=0.0, text/html;q=0.000", "text/html;q=0.5, text/html", "\u00e9/x", "text/html;a=\u00e9",
              "text/html\t,\tapplication/json", "text/html;a=1;q=0.1, text/html;q=0.9, application/json;q=0.5",
              "text/html,", ",", "text/html;a=\"\\\"\"", "application/xhtml+xml,text/html;q=0.9,*/*;q=0.8",
              "application/vnd.openstack.images-v2.3", "application/vnd.openstack.images-v2.3;q=1.0",
              "application/vnd.openstack.images-v2.3;q=0.5", "application/vnd.openstack.images-v2.3, */*",
              ",application/vnd.openstack.images-v2", "application/vnd.openstack.images-v2;a=b",
              "application/vnd.openstack.images-v2;q=1;e", "*/*, application/vnd.openstack.images-v2",
              "application/vnd.openstack.images-", "Application/vnd.openstack.images-v2",
              "application/vnd.openstack.images-v9", "application/vnd.openstack.images-v2 ;q=1"]
    known = version_negotiation.VersionNegotiationFilter(None)
    cases = []
    for value in values:
        def first(header, offers):
            found = header.acceptable_offers(offers)
            return found[0][0] if found else None
        # Errors read a missing header as an empty one.
        error = first(create_accept_header(value or ""), ["text/html", "application/json"])
        health = first(create_accept_header(value), ["text/plain", "text/html", "application/json"])
        text = str(create_accept_header(value))
        named = text[len(known.vnd_mime_type):] if text.startswith(known.vnd_mime_type) else None
        cases.append({"accept": value, "error": error, "health": health, "vendor": named is not None,
                      "known": named in known._get_allowed_versions() and named})
    save("accepts", cases)


def crosses():
    """CORS."""
    glance_config.set_cors_middleware_defaults()
    configs = {
        "none": {},
        "two": {"allowed_origin": "https://a.example,http://b.example:8080"},
        "star": {"allowed_origin": "*", "allow_credentials": "false", "max_age": "0", "expose_headers": "",
                 "allow_methods": "GET,OPTIONS", "allow_headers": "X-One, x-two"},
    }
    inner = {"plain": (200, {}), "vary": (200, {"Vary": "Accept"}), "missing": (404, {"X-Kept": "1"}),
             "own": (200, {"Access-Control-Allow-Origin": "mine"}), "created": (201, {"X-Kept": "1"})}
    requests = [{}, {"Origin": "https://a.example"}, {"Origin": "http://b.example:8080"}, {"Origin": "http://c.example"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "HEAD"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "get"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT",
                 "Access-Control-Request-Headers": "x-auth-token, Content-Type,,X-OpenStack-Request-ID "},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT",
                 "Access-Control-Request-Headers": "X-Other"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": "GET",
                 "Access-Control-Request-Headers": "X-ONE"},
                {"Access-Control-Request-Method": "GET"},
                {"Origin": "https://a.example", "Access-Control-Request-Method": ""}]
    cases = []
    for config_name, options in configs.items():
        for inner_name, (status, headers) in inner.items():
            if config_name != "two" and inner_name not in ("plain", "missing"):
                continue

            def app(environ, start_response, status=status, headers=headers):
                start_response(f"{status} X", [("Content-Type", "text/plain"), *headers.items()])
                return [b"inner"]
            oslo = cfg.ConfigOpts()
            oslo([], default_config_files=[])
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
                f.write("[cors]\n" + "".join(f"{k} = {v}\n" for k, v in options.items()))
                f.flush()
                oslo([], default_config_files=[f.name])
                wrapped = cors.CORS(app, oslo)
            for request in requests:
                for method in ("GET", "OPTIONS"):
                    answer = ask(wrapped, method=method, headers=request)
                    cases.append({"config": config_name, "inner": inner_name, "method": method, "headers": request,
                                  "answer": {"status": answer["status"][:3], "headers": answer["headers"],
                                             "body": answer["body"]}})
    save("cors", cases)


def proxies():
    def echo(environ, start_response):
        request = webob.Request(environ)
        start_response("200 OK", [])
        return [json.dumps({"application_url": request.application_url, "host_url": request.host_url,
                            "remote": request.remote_addr}).encode()]
    oslo = cfg.ConfigOpts()
    oslo([], default_config_files=[])
    cases = []
    for enabled in (False, True):
        wrapped = http_proxy_to_wsgi.HTTPProxyToWSGI(echo, oslo)
        oslo.set_override("enable_proxy_headers_parsing", enabled, group="oslo_middleware")
        for headers in ({}, {"Host": "h:80"}, {"Host": "h:443"}, {"Host": "h:9292"}, {"Host": "[::1]:9292"}, {"Host": "[::1]"},
                        {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Proto": "https", "Host": "h:443"},
                        {"X-Forwarded-Host": "public.example"}, {"X-Forwarded-For": "192.0.2.7"},
                        {"X-Forwarded-Prefix": "/image"}, {"X-Forwarded-Prefix": "/a b"},
                        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example:8443",
                         "X-Forwarded-Prefix": "/image"},
                        {"Forwarded": "for=192.0.2.60;proto=https;host=f.example, for=198.51.100.17;host=other"},
                        {"Forwarded": "For=192.0.2.60; PROTO=https ; Host = f.example"},
                        {"Forwarded": "for=192.0.2.60", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "no.example"},
                        {"Forwarded": "for=192.0.2.60", "X-Forwarded-Prefix": "/p"}, {"Forwarded": "", "X-Forwarded-Proto": "https"},
                        {"Forwarded": "nonsense"}):
            body = ask(wrapped, headers=headers, REMOTE_ADDR="10.0.0.1")["body"]
            cases.append({"enabled": enabled, "headers": headers, "seen": json.loads(body)})
    save("proxies", cases)


def versioning():
    """Version negotiation: what answers, or the path that goes on."""
    def echo(environ, start_response):
        start_response("222 Passed", [])
        return [environ["PATH_INFO"].encode()]
    cases = []
    paths = ["/", "/versions", "/versions/x", "/v2", "/v2/", "/v2/images", "/v9/x", "/v1", "/v2.0", "/v2.18/images", "/v2.14/images",
             "/v2.8/a", "/v2.9/a", "/v2.13", "/v2.17/x", "/V2/images", "/images", "/v2images", "/v2.3/"]
    for cache in (None, "/cache"):
        for backends in (None, {"fast": "file"}):
            for public in (None, "https://public.example/image/"):
                cfg.CONF.set_override("image_cache_dir", cache)
                cfg.CONF.set_override("enabled_backends", backends)
                cfg.CONF.set_override("public_endpoint", public)
                filtered = version_negotiation.VersionNegotiationFilter(echo)
                for path in paths if public is None else paths[:2]:
                    for accept in (None, "application/vnd.openstack.images-v2.3", "application/vnd.openstack.images-v2.8"):
                        headers = {"Host": "h:9292"} | ({"Accept": accept} if accept else {})
                        answer = ask(filtered, path=path, headers=headers)
                        passed = answer["body"] if answer["status"].startswith("222") else None
                        document = None if passed is not None else json.loads(answer["body"])["versions"]
                        listed = document and [f"{v['id']} {v['status']} {v['links'][0]['href']}" for v in document]
                        cases.append({"cache": cache, "multi": bool(backends), "public": public, "path": path, "accept": accept,
                                      "status": answer["status"][:3], "passed": passed,
                                      "versions": listed if path in paths[:2] and not accept else None})
    save("versions", cases)


def health():
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        there, missing = os.path.join(folder, "there"), os.path.join(folder, "missing")
        open(there, "w").close()
        configs = [
            {"backends": "disable_by_file", "disable_by_file_path": missing},
            {"backends": "disable_by_file", "disable_by_file_path": there},
            {"backends": "disable_by_file"},
            {"backends": ""},
            {"backends": "disable_by_files_ports", "disable_by_file_paths": f"80:{there},81:{missing}"},
            {"backends": "disable_by_files_ports", "disable_by_file_paths": f"80:{missing},81:{there}"},
            {"backends": "disable_by_files_ports", "disable_by_file_paths": f"81:{there}"},
            {"backends": "enable_by_files", "enable_by_file_paths": there},
            {"backends": "enable_by_files", "enable_by_file_paths": f"{there},{missing}"},
            {"backends": "disable_by_file,disable_by_files_ports", "disable_by_file_path": there,
             "disable_by_file_paths": f"80:{missing}"},
            {"backends": "disable_by_files_ports,enable_by_files", "enable_by_file_paths": missing,
             "disable_by_file_paths": f"80:{there}"},
        ]
        for options in configs:
            oslo = cfg.ConfigOpts()
            oslo([], default_config_files=[])
            app = healthcheck.Healthcheck.app_factory(None, oslo_config_project="nothing", **options)
            for method in ("GET", "HEAD", "POST"):
                for accept in (None, "text/html", "application/json", "image/png"):
                    answer = ask(app, path="/healthcheck", method=method, headers={"Accept": accept} if accept else {})
                    plain = {k: v.replace(folder, "FOLDER") for k, v in options.items()}
                    cases.append({"options": plain, "method": method, "accept": accept, "answer": answer})
    save("health", cases)


def audits():
    """The records of requests and answers."""
    maps = {
        "none": None,
        "packaged": pathlib.Path(sys.prefix, "etc/pycadf/glance_api_audit_map.conf").read_text(),
        "own": "[DEFAULT]\ntarget_endpoint_type = image\n[path_keywords]\nimages = image\nMembers = member\ntags: tag\n"
               "[custom_actions]\ndeactivate = disable\nreactivate/post = enable\n"
               "[service_endpoints]\nimage = service/storage/image\nidentity = service/security\n",
    }

    def service(kind, name, *endpoints):
        return {"type": kind, "name": name, "id": "s", "endpoints": [
            {"id": "e", "interface": i, "region": r, "region_id": r, "url": u} for i, r, u in endpoints]}

    image = service("image", "glance", ("admin", "One", "http://h:9292"), ("internal", "One", "http://i:9292/"),
                    ("public", "Two", "http://other:1"), ("public", "One", "https://p:443"))
    identity = service("identity", "keystone", ("public", "One", "http://k:5000/v3"), ("admin", "One", "http://k:35357"))
    catalogs = {"full": [identity, image], "elsewhere": [identity, service("image", "glance", ("public", "One", "http://x:1"))],
                "bare": [service("image", "glance")], "empty": []}
    callers = {
        "demo": {"user_id": "u", "user_name": "demo", "project_id": "p", "catalog": catalogs["full"]},
        "elsewhere": {"user_id": "u", "user_name": "demo", "project_id": "p", "catalog": catalogs["elsewhere"]},
        "bare": {"user_id": "u", "user_name": "demo", "project_id": "p", "catalog": catalogs["bare"]},
        "unscoped": {"user_id": "u", "user_name": None, "project_id": None, "catalog": catalogs["empty"]},
    }
    cases = []

    def case(method, target, map="packaged", caller="demo", headers=None, options=None, status=200, authenticated=True):
        found, seen = {}, callers.get(caller)
        headers = {"Host": "h:9292"} | (headers or {})
        environ = {"REMOTE_ADDR": "10.0.0.1"}
        if authenticated:
            environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed" if seen else "Invalid"
        if seen:
            environ |= {"HTTP_X_USER_ID": seen["user_id"], "HTTP_X_USER_NAME": seen["user_name"],
                        "HTTP_X_PROJECT_ID": seen["project_id"],
                        "HTTP_X_SERVICE_CATALOG": json.dumps(_request._normalize_catalog(seen["catalog"]))}

        def app(environ, start_response):
            start_response(f"{status} X", [])
            return [b""]
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write(maps[map] or "")
            f.flush()
            conf = (options or {}) | ({"audit_map_file": f.name} if maps[map] else {}) | {"use_oslo_messaging": "false"}
            filtered = audit.filter_factory({}, **conf)(app)
        filtered._notifier = type("Notifier", (), {"notify": lambda self, context, kind, event: found.update(
            {kind: json.loads(json.dumps(event))})})()
        request = webob.Request.blank(target, method=method, headers=headers)
        if "User-Agent" not in headers:
            request.environ.pop("HTTP_USER_AGENT", None)
        request.environ.update(environ)
        request.get_response(filtered)
        for event in found.values():
            event["id"] = event["eventTime"] = event["tags"][0] = None
            for step in event.get("reporterchain", []):
                step["reporterTime"] = None
        asked = found.get("audit.http.request", {})
        more = {k: v for k, v in found.get("audit.http.response", {}).items() if asked.get(k) != v}
        cases.append({"method": method, "target": target, "map": map, "caller": caller, "headers": headers,
                      "options": options or {}, "status": status, "authenticated": authenticated,
                      "request": asked or None, "response": more})

    for map in maps:
        for method, target in [("GET", "/v2/images"), ("POST", "/v2/images"), ("GET", "/v2/images/"), ("GET", "/v2/images/i"),
                               ("HEAD", "/v2/images/i"), ("PATCH", "/v2/images/i"), ("DELETE", "/v2/images/i"),
                               ("PUT", "/v2/images/i/file"), ("GET", "/v2/images/i/members/m.json"),
                               ("GET", "/v2/images/i/members"), ("PUT", "/v2/images/i/tags/a%20b"),
                               ("POST", "/v2/images/i/actions/deactivate"), ("POST", "/v2/images/i/actions/reactivate"),
                               ("POST", "/v2/tasks"), ("FOO", "/v2/images"), ("GET", "/v2/images?name=a%20b&limit=1"),
                               ("GET", "/v2/images?")]:
            case(method, target, map)
    for caller in (*callers, "nobody"):
        for map in maps:
            case("GET", "/v2/images/i", map, caller)
        case("GET", "/v2/images/i", headers={"Host": "k:5000"}, caller=caller)
        case("GET", "/v2/images/i", "own", headers={"Host": "p"}, caller=caller)
    case("GET", "/v2/images", caller="nobody", authenticated=False)
    for status in (200, 204, 206, 300, 302, 400, 404, 500, 503):
        case("GET", "/v2/images", status=status)
    for headers in ({"X-Auth-Token": "gAAAAABnotreallyatoken-0123456789"}, {"X-Auth-Token": "a" * 1000},
                    {"User-Agent": "python-glanceclient"}, {"X-Forwarded-For": "192.0.2.7, 10.0.0.2"},
                    {"X-Forwarded-For": ""}):
        case("GET", "/v2/images", headers=headers)
    for options in ({"ignore_req_list": "get, Head"}, {"ignore_req_list": "POST"}, {"ignore_path_list": "/v2/images,/x"},
                    {"ignore_path_list": "/v2"}, {"service_name": "glance", "log_name": "audit"}):
        for method in ("GET", "HEAD"):
            case(method, "/v2/images?x=1", options=options)
    save("audit", [{"maps": maps, "callers": callers}, *cases])


if __name__ == "__main__":
    cfg.CONF([], project="glance", default_config_files=[])
    errors(), accepts(), crosses(), proxies(), versioning(), health(), audits()
