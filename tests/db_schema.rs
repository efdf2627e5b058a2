//! Our tables and upstream's are the same, to the letter on SQLite, and upstream's own tools agree.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::Db;
use glance_api::db::images;
use glance_api::db::images::list::{ListQuery, Viewer};
use glance_api::db::model::{ImageUpdate, LocationRecord, NewImage};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};

async fn made_by_us(path: &Path) -> Db {
    let connection = Some(Secret::from(format!("sqlite:///{}", path.display()).as_str()));
    let db = Db::connect(&DatabaseSection { connection, ..DatabaseSection::default() }).await.unwrap();
    db.create_schema().await.unwrap();
    db
}

/// Everything that SQLite knows of the tables, one line for each object: names, columns, keys, in the words of whoever
/// made them.
async fn describe(path: &Path) -> String {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let sql = "SELECT type, name, tbl_name, coalesce(sql, '-') FROM sqlite_master ORDER BY type, name";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let mut text = String::new();
    for row in rows {
        let words: Vec<String> = (0..4).map(|column| row.get::<String, _>(column)).collect();
        // Blanks differ between versions of SQLAlchemy.
        text += &words.join(" | ").split_whitespace().collect::<Vec<_>>().join(" ");
        text.push('\n');
    }
    text
}

fn upstream(program: &str) -> PathBuf {
    let folder = std::env::var_os("GLANCE_TEST_UPSTREAM_BIN").map(PathBuf::from).unwrap_or_else(|| {
        panic!(
            "GLANCE_TEST_UPSTREAM_BIN does not name the directory of upstream's programs; \
             run: python3 -m venv /tmp/glance && /tmp/glance/bin/pip install glance==33.0.0, and set it to /tmp/glance/bin"
        )
    });
    let path = folder.join(program);
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// Runs upstream's `glance-manage` on a database; returns its exit status and what it said.
fn manage(folder: &Path, database: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run_manage(&upstream("glance-manage"), folder, database, arguments)
}

fn run_manage(program: &Path, folder: &Path, database: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run_command(Command::new(program), folder, database, arguments)
}

fn run_command(mut command: Command, folder: &Path, database: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let conf = folder.join("glance.conf");
    std::fs::write(&conf, format!("[database]\nconnection = sqlite:///{}\n", database.display())).unwrap();
    let done = command.arg("--config-file").arg(conf).args(arguments).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs one of the two programs; returns its exit status and for how many seconds it has computed, for itself and in the kernel.
fn processor_time(program: &Path, folder: &Path, database: &Path, arguments: &[&str]) -> (Option<i32>, f64) {
    let mut shell = Command::new("bash");
    shell.env("LC_ALL", "C");
    shell.args(["-c", "TIMEFORMAT='%U %S'; { time \"$@\" >/dev/null 2>&1; } 2>&1", "-"]).arg(program);
    let (status, said) = run_command(shell, folder, database, arguments);
    (status, said.split_whitespace().map(|seconds| seconds.parse::<f64>().unwrap()).sum())
}

#[tokio::test]
async fn tables_are_those_of_the_stored_dump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.db");
    made_by_us(&path).await.close().await;
    let stored = include_str!("data/upstream-sqlite-2024_1_contract01.txt");
    assert_eq!(describe(&path).await, stored);
}

#[tokio::test]
async fn upstream_makes_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    let (status, said) = manage(folder.path(), &path, &["db", "sync"]);
    assert_eq!(status, Some(0), "{said}");
    let made = describe(&path).await;
    assert_eq!(made, include_str!("data/upstream-sqlite-2024_1_contract01.txt"));
    made_by_us(&path).await.check_schema().await.unwrap();
}

#[tokio::test]
async fn upstream_accepts_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.db");
    let db = made_by_us(&path).await;
    let (status, said) = manage(folder.path(), &path, &["db", "check"]);
    assert_eq!((status, said.trim()), (Some(0), "Database is up to date. No upgrades needed."));
    let (status, said) = manage(folder.path(), &path, &["db", "version"]);
    assert_eq!((status, said.trim()), (Some(0), "2024_1_contract01"));
    let (status, said) = manage(folder.path(), &path, &["db", "sync"]);
    assert_eq!(status, Some(0), "{said}");
    db.check_schema().await.unwrap();
}

/// Upstream's database layer reads our rows, and we read those that it writes, values and times included.
#[tokio::test]
async fn rows_pass_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let db = made_by_us(&path).await;
    let serde_json::Value::Object(metadata) = serde_json::json!({"store": "fast", "ü": [1, null]}) else { panic!() };
    let ours = NewImage {
        name: Some("näme".to_owned()),
        size: Some(1 << 40),
        status: "active".to_owned(),
        visibility: "public".to_owned(),
        owner: Some("o".to_owned()),
        min_ram: 5,
        protected: true,
        properties: vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)],
        tags: vec!["t2".to_owned(), "t1".to_owned()],
        locations: vec![LocationRecord { id: None, url: "file:///x".into(), status: "active".into(), metadata }],
        created_at: Some(time::macros::datetime!(2024-01-02 03:04:05.1)),
        ..NewImage::new("aaaaaaaa-0000-4000-8000-000000000001")
    };
    let ours = images::create(&db, ours).await.unwrap();
    let python = upstream("python3");
    let done = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/upstream_rows.py"))
        .arg(&path)
        .arg(&ours.id)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let expected = serde_json::json!({
        "name": "näme", "size": 1u64 << 40, "status": "active", "visibility": "public", "owner": "o", "min_ram": 5,
        "protected": true, "created_at": "2024-01-02T03:04:05.100000", "tags": ["t2", "t1"],
        "properties": {"a": "1", "b": null}, "locations": [["file:///x", {"store": "fast", "ü": [1, null]}]],
        "listed": [ours.id.clone()], "usage": 1u64 << 40,
    });
    assert_eq!(said["ours"], expected);

    // Upstream copied the image under another id, then renamed ours and dropped a property and a tag.
    let theirs = images::get(&db, said["theirs"].as_str().unwrap(), false).await.unwrap().unwrap();
    let mut copy = ours.clone();
    (copy.id, copy.updated_at) = (theirs.id.clone(), theirs.updated_at);
    for (copied, location) in copy.locations.iter_mut().zip(&theirs.locations) {
        copied.id = location.id;
    }
    assert_eq!(theirs, copy);
    let renamed = images::get(&db, &ours.id, false).await.unwrap().unwrap();
    assert_eq!(renamed.name.as_deref(), Some("renamed"));
    assert_eq!(renamed.properties, [("a".to_owned(), Some("2".to_owned()))]);
    assert_eq!(renamed.tags, ["t1"]);
    assert!(renamed.updated_at > ours.updated_at);
    let query = ListQuery::new(Viewer { is_admin: false, project: Some("member".to_owned()) }, 10);
    let listed: Vec<String> = images::list(&db, &query).await.unwrap().into_iter().map(|image| image.id).collect();
    assert_eq!(listed, [said["shared"].as_str().unwrap(), &theirs.id, &ours.id]);
}

/// The token of whoever writes an image's data lies beside the image where upstream neither shows nor minds it.
#[tokio::test]
async fn upstream_does_not_notice_the_owner_of_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let db = made_by_us(&path).await;
    let image = NewImage {
        owner: Some("o".to_owned()),
        properties: vec![("a".to_owned(), Some("1".to_owned()))],
        ..NewImage::new("aaaaaaaa-0000-4000-8000-000000000003")
    };
    let image = images::create(&db, image).await.unwrap();
    let saving = ImageUpdate { status: Some("saving".to_owned()), ..ImageUpdate::default() };
    images::take(&db, &image.id, saving, &["queued"], "token").await.unwrap();
    let done = Command::new(upstream("python3"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/upstream_owner.py"))
        .arg(&path)
        .arg(&image.id)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let expected = serde_json::json!({
        "shown": {"a": "1"}, "listed": [{"a": "1"}], "found by name": [],
        "after an update": [{"b": "2"}, [["token", 1]]],
        "after a step": [{"b": "2"}, [["token", 1]]],
        "after a deletion": [["token", 1]],
        "after a purge": [0, 0],
    });
    assert_eq!(said, expected);
}

/// All metadata definitions in a database, without ids and times, but with whether there is a time of change.
async fn definitions(path: &Path) -> Vec<String> {
    const OF: &str = "JOIN metadef_namespaces n ON n.id = x.namespace_id";
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let mut lines = Vec::new();
    for (columns, from) in [
        ("namespace, display_name, description, visibility, protected, owner", "metadef_namespaces x".to_owned()),
        ("x.name, x.protected", "metadef_resource_types x".to_owned()),
        (
            "n.namespace, t.name, x.prefix, x.properties_target",
            format!(
                "metadef_namespace_resource_types x {OF} JOIN metadef_resource_types t ON t.id = x.resource_type_id"
            ),
        ),
        ("n.namespace, x.name, x.description, x.required, x.json_schema", format!("metadef_objects x {OF}")),
        ("n.namespace, x.name, x.json_schema", format!("metadef_properties x {OF}")),
        ("n.namespace, x.name", format!("metadef_tags x {OF}")),
    ] {
        let sql = format!("SELECT json_array({columns}, x.updated_at IS NULL) FROM {from}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        lines.extend(rows.iter().map(|row| format!("{from}: {}", row.get::<String, _>(0))));
    }
    lines.sort();
    lines
}

/// Both programs load the same files in the same ways; what the database holds then is the same.
#[tokio::test]
async fn definitions_are_loaded_as_upstream_loads_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ours, theirs, timed) = (at("ours.db"), at("theirs.db"), at("timed.db"));
    for path in [&ours, &theirs, &timed] {
        made_by_us(path).await.close().await;
    }
    let own = Path::new(env!("CARGO_BIN_EXE_glance-manage"));
    let stock = upstream("python3").parent().unwrap().join("../etc/glance/metadefs");
    let stock = stock.to_str().unwrap();
    let (files, exported) = (at("files"), at("exported"));
    for directory in [&files, &exported] {
        std::fs::create_dir(directory).unwrap();
    }
    let (files, exported) = (files.to_str().unwrap(), exported.to_str().unwrap());
    let write = |name: &str, text: &str| std::fs::write(Path::new(files).join(name), text).unwrap();
    write("a.json", FIRST);
    write("bad.json", "{");
    write("no-json.txt", "{");
    let both = async |arguments: &[&str], said: &str| {
        let (status, text) = run_manage(own, folder.path(), &ours, arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert_eq!(manage(folder.path(), &theirs, arguments).0, Some(0), "{arguments:?}");
        assert_eq!(definitions(&ours).await, definitions(&theirs).await, "{arguments:?}");
    };
    let load_stock = ["db", "load_metadefs", "--path", stock];
    both(&load_stock, "Metadata loading finished").await;
    let loaded = definitions(&ours).await;
    assert!(loaded.len() > 200);
    // Of the processor, whatever else the machine and its disk have to do.
    let (status, seconds) = processor_time(own, folder.path(), &timed, &load_stock);
    assert!(status == Some(0) && seconds < 1.0, "{status:?}, {seconds} s to load what upstream delivers");
    assert_eq!(definitions(&timed).await, loaded);
    both(&["db", "load_metadefs", "--path", files], "a.json loaded to database.").await;
    write("a.json", SECOND);
    both(&["db", "load_metadefs", "--path", files], "Skipping namespace Own. It already exists in the database.").await;
    both(&["db", "load_metadefs", "--path", files, "--merge"], "loaded").await;
    both(&["db", "load_metadefs", "--path", files, "--prefer_new"], "").await;
    both(&["db", "load_metadefs", "--path", files, "--merge", "--prefer_new", "--overwrite"], "").await;
    both(&["db", "load_metadefs", "--path", files, "--merge", "--prefer_new"], "loaded").await;
    both(&["db", "load_metadefs", "--path", files, "--merge", "--overwrite"], "Overwriting namespace Own").await;
    both(&["db_load_metadefs", &format!("{files}/a.json"), "True"], "loaded").await;
    both(&["db", "load_metadefs", "--path", "/nowhere"], "").await;

    // Upstream's export fails, so ours is judged by what can be loaded from it again.
    let whole: Vec<String> = definitions(&ours).await;
    for said in ["Namespace Own saved in ", "Overwriting: "] {
        let (status, text) = run_manage(own, folder.path(), &ours, &["db", "export_metadefs", "--path", exported]);
        assert!(status == Some(0) && text.contains(said), "{text}");
    }
    let namespaces = whole.iter().filter(|line| line.starts_with("metadef_namespaces")).count();
    assert_eq!(std::fs::read_dir(exported).unwrap().count(), namespaces);
    both(&["db", "unload_metadefs"], "Table metadef_resource_types has been cleared").await;
    assert_eq!(definitions(&ours).await, [""; 0]);
    both(&["db", "load_metadefs", "--path", exported], "loaded").await;
    let without_times = |lines: &[String]| -> Vec<String> {
        let mut lines: Vec<String> = lines.iter().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect();
        // The owner is not exported, and resource types that no namespace names are not either.
        lines.retain(|line| !line.starts_with("metadef_namespaces") && !line.starts_with("metadef_resource_types"));
        lines.sort();
        lines
    };
    assert_eq!(without_times(&definitions(&ours).await), without_times(&whole));
}

const FIRST: &str = r#"{
    "namespace": "Own", "display_name": "Own", "visibility": "public", "protected": true, "owner": "me",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "a_"}, {"name": "Own::Type"}],
    "properties": {"p": {"title": "P", "type": "string", "default": "ä"}, "q": {"title": "Q", "type": "array"}},
    "objects": [{"name": "o", "description": "d", "required": ["p"], "properties": {"p": {"title": "P", "type": "string"}}}],
    "tags": [{"name": "t"}, {"name": "u"}]
}"#;

const SECOND: &str = r#"{
    "namespace": "Own", "display_name": "Own", "description": "new",
    "resource_type_associations": [{"name": "OS::Glance::Image", "properties_target": "b"}, {"name": "Other::Type"}],
    "properties": {"p": {"title": "New", "type": "integer"}, "r": {"title": "R", "type": "string"}},
    "objects": [{"name": "o", "properties": {"x": {"title": "X", "type": "string"}}}, {"name": "bare"}],
    "tags": [{"name": "t"}, {"name": "v"}]
}"#;
