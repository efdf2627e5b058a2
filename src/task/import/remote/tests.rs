use futures_util::TryStreamExt;
use serde_json::json;

use super::*;
use crate::config::{ImportFilteringOptsSection, Secret};
use crate::task::import::web::tests::{answer, server};

const ID: &str = "0d0d0d0d-0000-4000-8000-000000000001";

fn remote(port: u16) -> Remote {
    let options = ImportFilteringOptsSection {
        allowed_hosts: vec!["127.0.0.1".to_owned()],
        allowed_ports: vec![port.to_string()],
        ..ImportFilteringOptsSection::default()
    };
    Remote::new(&Config::default(), UrlFilter::new(&options)).unwrap()
}

/// Somebody whose catalog has an Image service in the region Far.
fn caller(port: u16) -> Context {
    let endpoint = json!({"interface": "public", "region": "Far", "url": format!("http://127.0.0.1:{port}")});
    Context {
        token: Some(Secret::from("let-me-in")),
        service_catalog: Some(Arc::new(json!([{"type": "image", "endpoints": [endpoint]}]))),
        ..Context::default()
    }
}

fn far(region: &str) -> RemoteImage {
    RemoteImage { region: region.to_owned(), id: ID.to_owned(), interface: "public".to_owned() }
}

fn document(change: &Value) -> Value {
    let mut document = json!({"status": "active", "disk_format": "raw", "container_format": "bare", "size": 5});
    document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    document
}

fn ok(body: &str) -> String {
    answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

async fn open(answers: Vec<String>) -> Result<Found, String> {
    let (port, _) = server(answers).await;
    remote(port).open(&caller(port), &far("far"), "t1").await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_image_comes_with_its_formats_and_some_properties() {
    let long = format!("hw_{}", "x".repeat(NAME_LENGTH));
    let more = json!({
        "hw_disk_bus": "scsi", "trait:A": "required", "os_type": "linux", "os_hidden": false, "color": "red", "hw_odd": 1,
        "os_glance_x": "y", (long): "z",
    });
    let (port, asked) = server(vec![ok(&document(&more).to_string()), ok("12345")]).await;
    let found = remote(port).open(&caller(port), &far("fAR"), "t1").await.unwrap();
    assert_eq!((found.disk_format.as_str(), found.container_format.as_str()), ("raw", "bare"));
    let names: Vec<&str> = found.properties.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hw_disk_bus", "trait:A", "os_type"]);
    assert_eq!(found.source.size, Some(5));
    let data: Vec<Bytes> = found.source.data.try_collect().await.unwrap();
    assert_eq!(data.concat(), b"12345");
    let asked = asked.lock().unwrap();
    let lines: Vec<&str> = asked.iter().filter_map(|head| head.lines().next()).collect();
    assert_eq!(lines, [&format!("GET /v2/images/{ID} HTTP/1.1"), &format!("GET /v2/images/{ID}/file HTTP/1.1")]);
    assert!(asked.iter().all(|head| head.contains("x-auth-token: let-me-in")), "{asked:?}");
}

#[tokio::test]
async fn what_is_no_active_image_is_refused_by_its_cause() {
    let long = "x".repeat(FORMAT_LENGTH + 1);
    for (document, expected) in [
        (document(&json!({"status": "queued"})), "Source image status should be active instead of queued"),
        (document(&json!({"size": null})), "Size attribute of remote image 0d0d0d0d-0000-4000-8000-000000000001 could"),
        (document(&json!({"size": -1})), "Size attribute of remote image"),
        (document(&json!({"disk_format": null})), "it has no disk_format"),
        (document(&json!({"container_format": long})), "it has no container_format"),
        (json!([]), "it has no status"),
    ] {
        let error = open(vec![ok(&document.to_string())]).await.err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let image = || ok(&document(&json!({})).to_string());
    for (answers, expected) in [
        (vec![ok("<html>")], "is not an image"),
        (vec![answer("404 Not Found", "Content-Length: 0\r\n", "")], "the other service answered 404"),
        (vec![image(), answer("204 No Content", "", "")], "the other service answered 204"),
        (vec![ok(&format!("\"{}\"", "x".repeat(DOCUMENT)))], "more than"),
    ] {
        let error = open(answers).await.err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn data_of_another_length_fails() {
    for (data, got) in [("1234", 4), ("123456", 6), ("", 0)] {
        let found = open(vec![ok(&document(&json!({})).to_string()), ok(data)]).await.unwrap();
        let error = found.source.data.try_collect::<Vec<_>>().await.unwrap_err();
        let expected = format!("Task t1 failed because downloaded data size {got} is different from expected 5");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_token_goes_to_the_catalogs_service_alone() {
    let away = answer("302 Found", "Location: http://127.0.0.1:9/v2/images\r\nContent-Length: 0\r\n", "");
    let error = open(vec![away]).await.err().unwrap();
    assert!(error.contains("a request with credentials is not sent to another"), "{error}");
    for (interface, region) in [("public", "Near"), ("internal", "Far")] {
        let image = RemoteImage { interface: interface.to_owned(), ..far(region) };
        let error = remote(1).open(&caller(1), &image, "t1").await.err().unwrap();
        assert_eq!(error.to_string(), format!("{interface} glance endpoint not found for region {region}"));
    }
    let nobody = Context::default();
    assert!(matches!(remote(1).open(&nobody, &far("Far"), "t1").await, Err(RemoteError::Endpoint { .. })));
    // The catalog's own URL has to pass the filter, too.
    let refused = remote(1).open(&caller(2), &far("Far"), "t1").await.err().unwrap();
    assert_eq!(refused.to_string(), "port 2 is not allowed");
}
