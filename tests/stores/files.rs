//! Files: of another length, not to be removed, of no known store, in several stores.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::common::peers::Keystone;
use super::common::{Conf, Server};
use super::{Side, on_both_sides, plain};

#[test]
fn a_longer_file_ends_with_its_image_and_a_shorter_one_never_seems_whole() {
    on_both_sides(
        |conf| conf,
        |side| {
            let path = side.image(None);
            let file = side.file(&path);
            let get = side.request("GET", &format!("{path}/file"));
            for content in ["0123456789abc", "0123456789"] {
                fs::write(&file, content).unwrap();
                let answer = side.client.send(&get).expect(200);
                assert_eq!((answer.text().as_str(), answer.header("content-length")), ("0123456789", Some("10")));
            }
            for content in ["01234", ""] {
                fs::write(&file, content).unwrap();
                let answer = side.client.try_send(&get);
                assert!(answer.is_err(), "{} gives {answer:?} of {content:?}", side.name);
            }
            let range = get.clone().header("Range", "bytes=3-5");
            fs::write(&file, "0123").unwrap();
            assert!(side.client.try_send(&range).is_err(), "{}", side.name);
        },
    );
}

#[test]
fn an_image_without_a_size_is_as_long_as_its_file() {
    let server = Server::simple();
    let (conf, client) = (server.conf.clone(), server.client());
    let mut side = Side { name: "ours", conf, client, token: String::new(), _service: Box::new(server) };
    let path = side.image(None);
    side.sql("update images set size = null");
    let answer = side.send("GET", &format!("{path}/file")).expect(200);
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("0123456789", Some("10")));
}

#[test]
fn an_image_whose_data_cannot_be_removed_stays() {
    let (mut answers, mut odd) = (Vec::new(), Vec::new());
    on_both_sides(
        |conf| conf,
        |side| {
            odd.push(read_and_delete_at_odd_locations(side));
            let path = side.image(None);
            let file = side.file(&path);
            let share = side.request("POST", &format!("{path}/members")).json(&json!({"member": "guest"}));
            side.client.send(&share).expect(200);
            side.send("PUT", &format!("{path}/tags/kept")).expect(204);
            let before = side.send("GET", &path).expect(200).json();
            // A folder cannot be unlinked, not even by root.
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            let refused = side.send("DELETE", &path);
            answers.push(plain(&refused, &side.conf.dir, &path));
            assert_eq!(side.send("GET", &path).expect(200).json(), before);
            let members = side.send("GET", &format!("{path}/members")).expect(200).json();
            assert_eq!(members["members"][0]["member_id"], "guest");

            fs::remove_dir(&file).unwrap();
            fs::write(&file, "0123456789").unwrap();
            assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
            side.send("DELETE", &path).expect(204);
            side.send("GET", &path).expect(404);
            assert!(!file.try_exists().unwrap());
        },
    );
    let [theirs, ours] = answers.try_into().unwrap();
    assert_eq!(theirs, ours);
    assert_eq!(theirs.0, 403);
    // Upstream cannot delete most of these.
    let [theirs, ours] = odd.try_into().unwrap();
    let read = |answers: &[(&'static str, u16, u16)]| -> Vec<_> {
        answers.iter().map(|(url, read, _)| (*url, *read)).collect()
    };
    assert_eq!(read(&theirs), read(&ours));
    assert!(ours.iter().all(|(_, _, deleted)| *deleted == 204), "{ours:?}");
}

/// What is answered where no data can be, as a hand or another encryption key leaves it.
fn read_and_delete_at_odd_locations(side: &mut Side) -> Vec<(&'static str, u16, u16)> {
    let urls = ["nowhere", "odd://x", "", "file:nowhere", "file:///no/such/file"];
    let mut odd = |url: &'static str| {
        let path = side.image(None);
        side.sql(&format!("update image_locations set value = '{url}' where deleted = 0"));
        let get = side.request("GET", &format!("{path}/file"));
        // Upstream's server closes the connection where its code fails in the middle of an answer.
        let read = side.client.try_send(&get).map_or(500, |answer| answer.status);
        (url, read, side.send("DELETE", &path).status)
    };
    urls.map(&mut odd).to_vec()
}

#[test]
fn locations_are_found_by_their_url_when_their_store_is_not_known() {
    for metadata in ["{}", r#"{"store": ""}"#, r#"{"store": "former", "mine": 1}"#] {
        let mut shown = Vec::new();
        on_both_sides(
            |conf| conf.two_stores().set("DEFAULT.show_multiple_locations", true),
            |side| {
                let path = side.image(Some("slow"));
                let file = side.file(&path);
                side.sql(&format!("update image_locations set meta_data = '{metadata}'"));
                assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
                let image: Value = side.send("GET", &path).expect(200).json();
                shown.push((image["stores"].clone(), image["locations"][0]["metadata"].clone()));
                side.send("DELETE", &path).expect(204);
                assert!(!file.try_exists().unwrap(), "{} leaves the file", side.name);
            },
        );
        assert_eq!(shown[0], shown[1], "{metadata}");
        assert_eq!(shown[0].0, "slow");
    }
}

/// With a copy in each of two file stores; the path of the image and those of the copies.
fn with_two_copies(side: &mut Side) -> (String, [PathBuf; 2]) {
    // By the default rules, only administrators remove locations.
    side.token = Keystone::shared().token("admin@admin");
    let path = side.image(Some("slow"));
    let slow = side.file(&path);
    let fast = PathBuf::from(slow.to_str().unwrap().replace("slow", "fast"));
    fs::copy(&slow, &fast).unwrap();
    side.sql(&format!(
        "insert into image_locations (image_id, value, meta_data, status, created_at, updated_at, deleted) \
         select image_id, 'file://{}', '{{\"store\": \"fast\"}}', status, created_at, updated_at, 0 \
         from image_locations where value = 'file://{}'",
        fast.display(),
        slow.display()
    ));
    (path, [fast, slow])
}

#[test]
fn a_copy_is_removed_from_one_store_and_the_other_serves() {
    let mut answers: Vec<Vec<(u16, String)>> = Vec::new();
    on_both_sides(Conf::two_stores, |side| {
        let (path, [fast, slow]) = with_two_copies(side);
        let copy = |store: &str| format!("/v2/stores/{store}/{}", path.rsplit('/').next().unwrap());
        // A folder cannot be unlinked: the copy stays.
        fs::remove_file(&fast).unwrap();
        fs::create_dir(&fast).unwrap();
        let refused = side.send("DELETE", &copy("fast"));
        assert_eq!(side.send("GET", &path).expect(200).json()["stores"], "fast,slow", "{}", side.name);
        fs::remove_dir(&fast).unwrap();
        fs::write(&fast, "0123456789").unwrap();

        side.send("DELETE", &copy("slow")).expect(204);
        assert_eq!((slow.try_exists().unwrap(), fast.try_exists().unwrap()), (false, true), "{}", side.name);
        assert_eq!(side.send("GET", &format!("{path}/file")).expect(200).text(), "0123456789");
        let shown = side.send("GET", &path).expect(200).json();
        assert_eq!((&shown["stores"], &shown["status"]), (&json!("fast"), &json!("active")), "{}", side.name);
        let last = side.send("DELETE", &copy("fast"));
        assert!(fast.try_exists().unwrap(), "{}", side.name);
        answers.push([refused, last].iter().map(|answer| plain(answer, &side.conf.dir, &path)).collect());

        // What is gone already needs no removing.
        let (path, [fast, _]) = with_two_copies(side);
        fs::remove_file(&fast).unwrap();
        side.send("DELETE", &format!("/v2/stores/fast/{}", path.rsplit('/').next().unwrap())).expect(204);
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[1][0].0, answers[1][1].0), (500, 403));
}
