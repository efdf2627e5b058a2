//! Audit records, in a pipeline as deployment tools write it.

use std::fs;

use super::harness::{Setup, answered, wait_for};

const PASTE: &str = "[composite:glance-api]\npaste.composite_factory = glance.api:root_app_factory\n\
    /: api\n/healthcheck: healthcheck\n\
    [app:healthcheck]\npaste.app_factory = oslo_middleware:Healthcheck.app_factory\n\
    [pipeline:api]\npipeline = versionnegotiation unauthenticated-context audit rootapp\n\
    [composite:rootapp]\npaste.composite_factory = glance.api:root_app_factory\n/: apiversions\n/v2: apiv2app\n\
    [app:apiversions]\npaste.app_factory = glance.api.versions:create_resource\n\
    [app:apiv2app]\npaste.app_factory = glance.api.v2.router:API.factory\n\
    [filter:versionnegotiation]\n\
    paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory\n\
    [filter:unauthenticated-context]\n\
    paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory\n\
    [filter:audit]\npaste.filter_factory = keystonemiddleware.audit:filter_factory\naudit_map_file = %(here)s/map.conf\n";

const MAP: &str = "[path_keywords]\nimages = image\n[service_endpoints]\nimage = service/storage/image\n";

#[test]
fn requests_and_answers_are_recorded() {
    let setup = Setup::new();
    fs::write(setup.path("paste.ini"), PASTE).unwrap();
    fs::write(setup.path("map.conf"), MAP).unwrap();
    let more = format!("[paste_deploy]\nconfig_file = {}\n", setup.path("paste.ini").display());
    let server = setup.more(&more).start();
    answered(server.get("/v2/images?limit=1"));
    answered(server.get("/v2/images/nothing"));
    let records: Vec<serde_json::Value> = wait_for("four records", || {
        let log = server.log();
        let payloads = log.lines().filter_map(|line| Some(line.split_once("Event type: audit.http.")?.1));
        let found: Vec<_> =
            payloads.filter_map(|text| serde_json::from_str(text.split_once("Payload: ")?.1.trim_end()).ok()).collect();
        (found.len() == 4).then_some(found)
    });
    for (record, (action, outcome, code)) in records.iter().zip([
        ("read/list", "pending", None),
        ("read/list", "success", Some("200")),
        ("read", "pending", None),
        ("read", "failure", Some("404")),
    ]) {
        assert_eq!((record["action"].as_str(), record["outcome"].as_str()), (Some(action), Some(outcome)), "{record}");
        assert_eq!(record["reason"]["reasonCode"].as_str(), code, "{record}");
    }
    assert_eq!(records[0]["id"], records[1]["id"]);
    assert_eq!(records[0]["requestPath"], "/v2/images?limit=1");
}

#[test]
fn a_filter_that_is_not_known_is_named_with_its_line() {
    let setup = Setup::new();
    let paste = PASTE.replace("keystonemiddleware.audit:filter_factory", "my.module:factory");
    fs::write(setup.path("paste.ini"), paste).unwrap();
    let file = setup.path("paste.ini").display().to_string();
    let (status, log) = setup.more(&format!("[paste_deploy]\nconfig_file = {file}\n")).fail();
    let expected = format!(
        "{file}: line 22: [filter:audit] names my.module:factory, a filter that is not part of this service: take audit out \
         of the pipeline in line 8"
    );
    assert!(status == 78 && log.contains(&expected), "{status}: {log}");
}
