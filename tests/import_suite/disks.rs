//! Disks that are taken out of archives and converted on their way.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::super::common::{Answer, Conf, Request, Server, wait_for};
use super::super::{PATIENCE, objects, shown};
use super::{disk_in, plain_disk, serve};

pub(super) const OVF: &str = r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ProcessorAllocationSettingData">
  <References><File id="d" href="disk.vmdk"/></References>
  <DiskSection><Disk fileRef="d"/></DiskSection>
  <p:InstructionSet>DMTF:x86:64</p:InstructionSet>
</Envelope>"#;

pub(super) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Asks for a task that makes an image of what is there.
pub(super) fn ask(server: &Server, url: &str, image: &Value) -> Answer {
    let input = json!({"import_from": url, "import_from_format": "", "image_properties": image});
    server.send(&Request::new("POST", "/v2/tasks").json(&json!({"type": "import", "input": input})))
}

/// The task that was asked for, once it has ended.
pub(super) fn ended(server: &Server, asked: Answer) -> Value {
    let id = asked.expect(201).json()["id"].as_str().unwrap().to_owned();
    wait_for("the task's end", PATIENCE, || {
        let task = server.send(&Request::new("GET", &format!("/v2/tasks/{id}"))).expect(200).json();
        (task["status"] == "success" || task["status"] == "failure").then_some(task)
    })
}

fn make(server: &Server, url: &str, image: &Value) -> Value {
    ended(server, ask(server, url, image))
}

#[test]
fn a_store_that_a_task_names_counts_only_where_stores_have_names() {
    let port = serve(BTreeMap::from([("/data".to_owned(), b"data".to_vec())]));
    let server = Server::with(|conf| {
        conf.set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", format!("[{port}]"))
    });
    let image = json!({"disk_format": "raw", "container_format": "bare"});
    let input = json!({"import_from": format!("http://127.0.0.1:{port}/data"), "import_from_format": "raw", "backend": "file",
        "image_properties": image});
    let asked = server.send(&Request::new("POST", "/v2/tasks").json(&json!({"type": "import", "input": input})));
    let task = ended(&server, asked);
    assert_eq!(task["status"], "success", "{task}");
}

#[test]
fn a_task_unpacks_converts_and_looks_at_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = plain_disk();
    let vmdk = disk_in("vmdk", &disk, folder.path());
    let files = BTreeMap::from([
        ("/ova".to_owned(), archive(&[("a.ovf", OVF.as_bytes()), ("disk.vmdk", &vmdk)])),
        ("/empty.ova".to_owned(), archive(&[("disk.vmdk", &vmdk)])),
        ("/vmdk".to_owned(), vmdk),
    ]);
    let port = serve(files);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let conf = |conf: Conf| {
        fs::write(conf.dir.join("ovf-metadata.json"), r#"{"cim_pasd": ["InstructionSet"]}"#).unwrap();
        conf.two_stores()
            .own_state()
            .set("import_filtering_opts.allowed_hosts", "[127.0.0.1]")
            .set("import_filtering_opts.allowed_ports", "[]")
            .set("taskflow_executor.conversion_format", "raw")
    };
    let server = Server::with(conf);
    let image = json!({"name": "made", "disk_format": "vmdk", "container_format": "ova", "color": "red"});
    let task = make(&server, &url("/ova"), &image);
    assert_eq!((&task["status"], &task["image_id"]), (&json!("success"), &Value::Null), "{task}");
    let id = task["result"]["image_id"].as_str().unwrap();
    let image = shown(&server, id);
    for (field, value) in [
        ("status", json!("active")),
        ("disk_format", json!("raw")),
        ("container_format", json!("bare")),
        ("size", json!(disk.len())),
        ("color", json!("red")),
        ("cim_pasd_InstructionSet", json!("DMTF:x86:64")),
        ("stores", json!("fast")),
    ] {
        assert_eq!(image[field], value, "{field}: {image}");
    }
    let data = server.send(&Request::new("GET", &format!("/v2/images/{id}/file"))).expect(200).body;
    assert!(data == disk, "the disk is another one");

    for (path, format, container, expected) in [
        ("/empty.ova", "vmdk", "ova", "Could not find OVF file in OVA archive file."),
        ("/vmdk", "qcow2", "bare", "Image format mismatch"),
        ("/none", "vmdk", "bare", "the server answered 404"),
    ] {
        let task = make(&server, &url(path), &json!({"disk_format": format, "container_format": container}));
        let message = task["message"].as_str().unwrap();
        assert!(task["status"] == "failure" && message.contains(expected), "{path}: {task}");
        assert!(message.starts_with("Task failed due to Internal Error"), "{task}");
    }
    let left = server.send(&Request::new("GET", "/v2/images")).expect(200).json();
    assert_eq!(left["images"].as_array().unwrap().len(), 1, "{left}");
    assert!(objects(&server.conf, "tasks").is_empty() && objects(&server.conf, "fast") == [id]);
}
