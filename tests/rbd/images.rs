//! How images lie in the cluster, and what their clones and other stores mean for them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::peers::{Ceph, Upstream};
use super::common::{Body, Conf, Request, Server, free_port, wait_for};
use super::{MIB, create, delete, download, pattern, server, show, stored, upload};

#[test]
fn data_comes_back_and_lies_as_upstream_lays_it() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    for (size, pieces) in
        [(0, [1, 1]), (1, [1, 1]), (300_001, [3, 9000]), (9 * MIB, [777, 777]), (20 * MIB + 4321, [MIB, 70_000])]
    {
        let data = pattern(size);
        let (mut chunks, mut rest) = (Vec::new(), data.as_slice());
        for piece in pieces.into_iter().cycle() {
            let (chunk, others) = rest.split_at(piece.min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        for body in [Body::Sized(data.clone()), Body::Chunked(chunks)] {
            let id = create(&mut client);
            client.send(&upload(&id, body)).expect(204);
            let image = show(&mut client, &id);
            assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(size)));
            let url = format!("rbd://{}/images/{id}/snap", ceph.fsid);
            assert_eq!(image["locations"][0]["url"], url);
            assert_eq!(image["locations"][0]["metadata"], json!({}));
            assert!(client.send(&download(&id)).expect(200).body == data);

            let spec = format!("images/{id}");
            let info: Value = serde_json::from_str(&ceph.rbd(&["info", "--format", "json", &spec])).unwrap();
            assert_eq!((&info["size"], &info["order"]), (&json!(size), &json!(23)));
            assert!(info["features"].as_array().unwrap().contains(&json!("layering")), "{info}");
            let snapshots: Value = serde_json::from_str(&ceph.rbd(&["snap", "ls", "--format", "json", &spec])).unwrap();
            let [snapshot] = snapshots.as_array().unwrap().as_slice() else { panic!("{snapshots}") };
            assert_eq!(snapshot["name"], "snap");
            assert_eq!((&snapshot["size"], &snapshot["protected"]), (&json!(size), &json!("true")));

            let range = client.send(&download(&id).header("Range", "bytes=0-0"));
            assert_eq!(range.status, if size == 0 { 416 } else { 400 }, "{}", range.text());
            client.send(&delete(&id)).expect(204);
            assert!(!ceph.images().contains(&id));
        }
    }
}

#[test]
fn zeros_need_no_space_where_the_store_is_thin() {
    let ceph = Ceph::shared();
    let mut data = vec![0; 40 * MIB];
    data[17 * MIB] = 1;
    for thin in [true, false] {
        let server = Server::with(|conf| conf.ceph(ceph).set("glance_store.rbd_thin_provisioning", thin));
        let mut client = server.client();
        let id = stored(&mut client, &data);
        assert!(client.send(&download(&id)).expect(200).body == data);
        let extents = ceph.rbd(&["diff", "--format", "json", &format!("images/{id}@snap")]);
        let extents: Vec<Value> = serde_json::from_str(&extents).unwrap();
        let used: u64 = extents.iter().map(|extent| extent["length"].as_u64().unwrap()).sum();
        assert_eq!(used <= 8 * MIB as u64, thin, "{used} bytes");
        client.send(&delete(&id)).expect(204);
    }
}

#[test]
fn an_image_with_clones_stays() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let data = pattern(MIB);
    let id = stored(&mut client, &data);
    let (snapshot, clone) = (format!("images/{id}@snap"), format!("vms/{id}"));
    ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &snapshot, &clone]);
    let answer = client.send(&delete(&id)).expect(409);
    let words = format!(
        "Image {id} could not be deleted because it is in use: The image cannot be deleted because it is in use through \
         the backend store outside of Glance."
    );
    assert!(answer.text().contains(&words), "{}", answer.text());
    assert_eq!(show(&mut client, &id)["status"], "active");
    assert!(client.send(&download(&id)).expect(200).body == data);
    // The snapshot is still good for more.
    let second = format!("{clone}-2");
    ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &snapshot, &second]);
    ceph.rbd(&["rm", "--no-progress", &second]);
    ceph.rbd(&["rm", "--no-progress", &clone]);
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));

    // Clones of the newer kind live on without it.
    let id = stored(&mut client, &data);
    let clone = format!("vms/{id}");
    ceph.rbd(&["clone", "--rbd-default-clone-format", "2", &format!("images/{id}@snap"), &clone]);
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
    assert!(ceph.rbd(&["trash", "ls", "images"]).contains(&id));
    let out = server.conf.dir.join("clone");
    ceph.rbd(&["export", "--no-progress", &clone, out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == data);
    ceph.rbd(&["rm", "--no-progress", &clone]);
}

#[test]
fn an_image_that_somebody_writes_to_stays_whole() {
    let ceph = Ceph::shared();
    let server = server(ceph);
    let mut client = server.client();
    let id = stored(&mut client, &pattern(MIB));
    let mut writer = Command::new("rbd")
        .args(["--conf", &ceph.conf, "bench", "--io-type", "write", "--io-total", "100G", &format!("images/{id}")])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("it is being written", Duration::from_secs(20), || {
        ceph.rbd(&["status", &format!("images/{id}")]).contains("watcher=").then_some(())
    });
    client.send(&delete(&id)).expect(409);
    assert!(ceph.rbd(&["snap", "ls", &format!("images/{id}")]).contains("snap"));
    writer.kill().unwrap();
    writer.wait().unwrap();
    wait_for("it is deleted", Duration::from_secs(40), || (client.send(&delete(&id)).status == 204).then_some(()));
}

#[test]
fn a_store_among_others() {
    let ceph = Ceph::shared();
    let server = Server::with(|conf| {
        conf.two_stores()
            .set("DEFAULT.enabled_backends", "fast:file,slow:file,block:rbd")
            .set("DEFAULT.show_multiple_locations", true)
            .set("block.rbd_store_ceph_conf", &ceph.conf)
            .set("block.rbd_store_user", &ceph.user)
    });
    let mut client = server.client();
    let id = create(&mut client);
    let request = upload(&id, Body::Sized(b"data".to_vec())).header("x-image-meta-store", "block");
    client.send(&request).expect(204);
    let image = show(&mut client, &id);
    assert_eq!(image["locations"][0]["metadata"], json!({"store": "block"}));
    assert_eq!(image["stores"], "block");
    assert!(client.send(&download(&id)).expect(200).body == b"data");
    client.send(&delete(&id)).expect(204);
    assert!(!ceph.images().contains(&id));
}

#[test]
fn what_an_import_writes_gives_way_to_requests() {
    let server = server(Ceph::shared());
    let mut client = server.client();
    let own = rustix::process::getpriority_process(None).unwrap();
    // A thread without work stays for ten seconds.
    let niceness = |is_wanted: &dyn Fn(&str) -> bool| {
        let threads = server.threads();
        threads.into_iter().filter(|(name, _)| is_wanted(name)).map(|(_, nice)| nice).collect::<BTreeSet<_>>()
    };
    let of = |wanted: &str| niceness(&|name| name == wanted);
    // Ceph's own threads among them, which work for both.
    let of_others = || niceness(&|name| !name.ends_with("-bg"));
    let imported = create(&mut client);
    let stage = Request::new("PUT", &format!("/v2/images/{imported}/stage"));
    client.send(&stage.data(Body::Sized(pattern(MIB)))).expect(204);
    let import = Request::new("POST", &format!("/v2/images/{imported}/import"));
    client.send(&import.json(&json!({"method": {"name": "glance-direct"}}))).expect(202);
    wait_for("the import", Duration::from_secs(40), || {
        (show(&mut client, &imported)["status"] == "active").then_some(())
    });
    // One that has just begun is not lower yet.
    wait_for("threads that give way", Duration::from_secs(40), || {
        (of("glance-rbd-w-bg") == [(own + 10).min(19)].into()).then_some(())
    });
    assert_eq!((of("glance-rbd-w"), of_others()), ([].into(), [own].into()), "{:?}", server.threads());
    let uploaded = stored(&mut client, &pattern(MIB));
    assert_eq!((of("glance-rbd-w"), of_others()), ([own].into(), [own].into()), "{:?}", server.threads());
    for id in [imported, uploaded] {
        client.send(&delete(&id)).expect(204);
    }
}

#[test]
fn upstream_and_we_read_each_others_images() {
    let ceph = Ceph::shared();
    let ours = server(ceph);
    let dir = tempfile::tempdir().unwrap();
    // Where nobody is asked who they are, upstream's own rules refuse all of these.
    let everyone = BTreeMap::from(
        [
            "add_image",
            "get_image",
            "modify_image",
            "delete_image",
            "upload_image",
            "download_image",
            "get_image_location",
            "set_image_location",
            "delete_image_location",
        ]
        .map(|rule| (rule.to_owned(), "@".to_owned())),
    );
    let conf = Conf::new(dir.path(), free_port()).ceph(ceph).set("DEFAULT.show_multiple_locations", true);
    let theirs = Upstream::start(conf.policy(&everyone));
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let data = pattern(9 * MIB + 1);
    for turn in 0..2 {
        let (writer, reader) = if turn == 0 { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
        let id = stored(writer, &data);
        let written = show(writer, &id);
        let url = written["locations"][0]["url"].as_str().unwrap();
        assert_eq!(url, format!("rbd://{}/images/{id}/snap", ceph.fsid));

        let second = create(reader);
        let change = json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
        let request = Request::patch(&format!("/v2/images/{second}"), &change);
        let added = reader.send(&request).expect(200).json();
        assert_eq!((&added["status"], &added["size"]), (&json!("active"), &json!(data.len())));
        assert!(reader.send(&download(&second)).expect(200).body == data);

        // What neither can do is said in the same words.
        let clone = format!("vms/{id}");
        ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &format!("images/{id}@snap"), &clone]);
        let location = |url: &str| {
            let change = json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
            Request::patch("/v2/images/ID", &change)
        };
        for mut request in [
            delete("ID"),
            download("ID").header("Range", "bytes=1-5"),
            location("rbd://f/p/i"),
            location("rbd://f//i/s"),
            location(&format!("rbd://{}/images/{id}/other", ceph.fsid)),
            location(&format!("rbd://{}/images/nothing/snap", ceph.fsid)),
        ] {
            let target = request.target.clone();
            let mut answers = [(&mut *writer, &id), (&mut *reader, &second)].map(|(client, image)| {
                request.target = target.replace("ID", image);
                let answer = client.send(&request);
                (answer.status, answer.text().replace(image, "ID").trim().to_owned())
            });
            // The same, whoever wrote the image.
            answers.sort();
            assert_eq!(answers[0], answers[1], "{} {target}", request.method);
            assert!(answers[0].0 >= 400);
        }
        ceph.rbd(&["rm", "--no-progress", &clone]);

        // What the reader deletes is gone for the writer.
        reader.send(&delete(&second)).expect(204);
        assert!(!ceph.images().contains(&id));
        writer.send(&download(&id)).expect(204);
    }
}
