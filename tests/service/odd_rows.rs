//! Images whose rows hold what nothing should have written: they are shown, listed and deleted, and the log names them.

use std::process::Command;

use super::data;
use super::harness::{Answer, Server, Setup, wait_for};
use super::keystone::{self, Keystone};

/// Changes the database behind the server's back.
fn sql(server: &Server, statement: &str) {
    let mut command = Command::new("sqlite3");
    command.arg(server.path("glance.db")).args(["-cmd", ".timeout 5000"]).arg(statement);
    let done = command.output().expect("sqlite3: apt-get install sqlite3");
    assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
}

fn ask(server: &Server, method: &str, path: &str) -> Answer {
    let mut client = server.connect();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    client.answer().unwrap()
}

fn with_data(server: &Server) -> String {
    let id = data::create(server);
    let mut upload = data::Upload::begin(server, &id, 4);
    upload.send(4);
    assert_eq!(upload.finish().status, 204);
    id
}

#[test]
fn whatever_stands_in_a_row_it_is_shown_listed_and_deleted() {
    let server = Setup::new().start();
    for (change, member, shown, named) in [
        ("images SET status = 'busy'", "status", r#""busy""#, Some(r#"status is "busy""#)),
        ("images SET status = CAST(x'ff' AS TEXT)", "status", r#""""#, Some("column status")),
        ("images SET status = printf('%.300c', 'x')", "status", r#""unknown""#, Some("status is")),
        ("images SET visibility = 'odd'", "visibility", r#""odd""#, Some(r#"visibility is "odd""#)),
        ("images SET size = -5", "size", "-5", None),
        ("images SET size = NULL", "size", "null", None),
        ("images SET created_at = 'x'", "created_at", r#""1970-01-01T00:00:00Z""#, Some("created_at")),
        ("images SET name = CAST(x'ff' AS TEXT)", "name", "null", Some("column name")),
        ("image_tags SET value = CAST(x'ff' AS TEXT)", "tags", r#"[""]"#, Some("column image_tags.value")),
        ("image_properties SET value = CAST(x'ff' AS TEXT)", "color", r#""""#, Some("column image_properties.value")),
        ("images SET min_ram = -1, checksum = 'no digest'", "min_ram", "-1", None),
        ("image_locations SET meta_data = '{'", "size", "4", Some("meta_data")),
        ("image_locations SET meta_data = '[]'", "size", "4", Some("meta_data")),
        ("image_locations SET value = 'nowhere'", "size", "4", Some("is of no use")),
        ("image_locations SET value = 'odd://x'", "size", "4", Some("is of no use")),
        ("image_locations SET value = CAST(x'ff' AS TEXT)", "size", "4", Some("is of no use")),
        ("image_locations SET status = 'odd'", "size", "4", None),
    ] {
        let (id, other) = (with_data(&server), data::create(&server));
        sql(
            &server,
            &format!(
                "INSERT INTO image_tags (image_id, value, created_at, deleted) VALUES ('{id}', 'tag', '2020-01-01', 0);
                 INSERT INTO image_properties (image_id, name, value, created_at, deleted) VALUES ('{id}', 'color', 'red', '2020-01-01', 0)"
            ),
        );
        let key = if change.starts_with("images") { "id" } else { "image_id" };
        // The checks of a table hold nobody up who has another tool.
        sql(&server, &format!("PRAGMA ignore_check_constraints = on; UPDATE {change} WHERE {key} = '{id}'"));
        let path = format!("/v2/images/{id}");
        let answer = ask(&server, "GET", &path);
        assert_eq!(answer.status, 200, "{change}: {answer:?}");
        let image: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(image[member].to_string(), shown, "{change}");
        let list = ask(&server, "GET", "/v2/images");
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        let listed: Vec<&str> = list["images"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap()).collect();
        // Upstream lists the statuses and visibilities that it knows.
        let is_left_out = ["images SET status", "images SET visibility"].iter().any(|left| change.starts_with(left));
        assert!(is_left_out || listed.contains(&id.as_str()), "{change}: {listed:?}");
        assert!(listed.contains(&other.as_str()), "{change} hides others: {listed:?}");
        let answer = ask(&server, "DELETE", &path);
        assert_eq!(answer.status, 204, "{change}: {answer:?}");
        assert_eq!(ask(&server, "GET", &path).status, 404, "{change}");
        if let Some(named) = named {
            wait_for(&format!("{change}: {named} in the log"), || {
                let log = server.log();
                log.lines().any(|line| line.contains(named) && line.contains(&id)).then_some(())
            });
        }
        assert_eq!(ask(&server, "DELETE", &format!("/v2/images/{other}")).status, 204);
    }
}

/// Whoever is not let see an image does not learn that there is one, whatever its row holds.
#[test]
fn strangers_do_not_find_an_odd_image() {
    let keystone = Keystone::start();
    let server = Setup::new().more(&keystone::with_keystone(&keystone, "")).start();
    let json = |length: usize| format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let data = "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n";
    let patch = "Content-Type: application/openstack-images-v2.1-json-patch\r\nContent-Length: 2\r\n";
    for change in [
        "status = 'busy'",
        "status = CAST(x'ff' AS TEXT)",
        "visibility = 'odd'",
        "visibility = CAST(x'ff' AS TEXT)",
        "status = 'busy', visibility = 'odd'",
    ] {
        let id = keystone::create(&server);
        let path = format!("/v2/images/{id}");
        let ask = |method: &str, what: &str, headers: &str, body: &str| {
            let path = format!("{path}{what}");
            keystone::ask(server.address(), method, &path, headers, body.as_bytes(), || {}).0
        };
        sql(&server, &format!("PRAGMA ignore_check_constraints = on; UPDATE images SET {change} WHERE id = '{id}'"));
        assert_eq!(ask("GET", "", "", ""), 200, "{change}: its owner's");
        sql(&server, &format!("UPDATE images SET owner = 'p2' WHERE id = '{id}'"));
        for (method, what, headers, body) in [
            ("GET", "", "", ""),
            ("GET", "/file", "", ""),
            ("GET", "/members", "", ""),
            ("GET", "/tasks", "", ""),
            ("PATCH", "", patch, "[]"),
            ("PUT", "/file", data, "ab"),
            ("PUT", "/stage", data, "ab"),
            ("PUT", "/tags/t", "Content-Length: 0\r\n", ""),
            ("POST", "/actions/deactivate", "Content-Length: 0\r\n", ""),
            ("POST", "/members", json(15).as_str(), r#"{"member":"p1"}"#),
            ("POST", "/import", json(37).as_str(), r#"{"method": {"name": "glance-direct"}}"#),
            ("DELETE", "", "", ""),
        ] {
            assert_eq!(ask(method, what, headers, body), 404, "{change}: {method} {what}");
        }
        let (status, list) = keystone::ask(server.address(), "GET", "/v2/images?visibility=all", "", b"", || {});
        assert_eq!((status, &list["images"]), (200, &serde_json::json!([])), "{change}");
    }
}

#[test]
fn pages_go_on_behind_a_row_that_cannot_be_read() {
    let server = Setup::new().start();
    for (change, order) in [
        ("created_at = 'x'", ""),
        ("created_at = 'x'", "&sort=created_at:asc"),
        ("updated_at = 'x'", "&sort=updated_at:asc,name"),
        ("name = CAST(x'ff' AS TEXT)", "&sort=name"),
        ("visibility = CAST(x'ff' AS TEXT), owner = CAST(x'ff' AS TEXT)", ""),
    ] {
        let mut ids = [(); 3].map(|()| data::create(&server));
        let odd = format!("UPDATE images SET {change} WHERE id = '{}'", ids[1]);
        sql(&server, &format!("PRAGMA ignore_check_constraints = on; {odd}"));
        let mut seen: Vec<String> = Vec::new();
        let mut next = Some(format!("/v2/images?limit=1{order}"));
        while let Some(path) = next {
            let answer = ask(&server, "GET", &path);
            assert_eq!(answer.status, 200, "{change}{order}: {answer:?}");
            let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            seen.extend(
                page["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()),
            );
            assert!(seen.len() <= ids.len(), "{change}{order}: {seen:?}");
            next = page["next"].as_str().map(str::to_owned);
        }
        seen.sort();
        ids.sort();
        assert_eq!(seen, ids, "{change}{order}");
        for id in ids {
            assert_eq!(ask(&server, "DELETE", &format!("/v2/images/{id}")).status, 204);
        }
    }
}

#[test]
fn a_member_whose_row_cannot_be_read_hides_no_others() {
    let server = Setup::new().start();
    let id = data::create(&server);
    let member = |name: &str, status: &str| {
        format!(
            "INSERT INTO image_members (image_id, member, can_share, status, created_at, deleted)
             VALUES ('{id}', '{name}', 0, {status}, '2020-01-01', 0);"
        )
    };
    sql(
        &server,
        &[member("one", "CAST(x'ff' AS TEXT)"), member("two", "'unsure'"), member("three", "'accepted'")].concat(),
    );
    let answer = ask(&server, "GET", &format!("/v2/images/{id}/members"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let members: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let shown: Vec<_> = members["members"].as_array().unwrap().iter().map(|member| member["status"].as_str()).collect();
    assert_eq!(shown, [Some(""), Some("unsure"), Some("accepted")]);
    server.log_with("column image_members.status");
}

/// What an administrator sees who has changed `metadata_encryption_key`.
#[test]
fn a_location_of_another_key_holds_no_image_up() {
    let first = Setup::new().more("metadata_encryption_key = 0123456789abcdef").start();
    let id = with_data(&first);
    let second = Setup::new().more("metadata_encryption_key = fedcba9876543210");
    sql(&first, &format!("VACUUM INTO '{}'", second.path("glance.db").display()));
    let server = second.start();
    let path = format!("/v2/images/{id}");
    assert_eq!(ask(&server, "GET", &path).status, 200);
    assert_eq!(ask(&server, "DELETE", &path).status, 204);
    server.log_with("not a location encrypted with metadata_encryption_key");
}
