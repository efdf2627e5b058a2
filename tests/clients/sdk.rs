//! The SDK.

use std::fs;

use serde_json::Value;

use crate::outcomes::printed;
use crate::side::{Side, sides};

/// A program for the SDK; it prints one JSON document.
const SDK: &str = r#"
import hashlib, json, sys, openstack
cloud = openstack.connect()
data = open("data.raw", "rb").read()
made = cloud.image.create_image("sdk", filename="data.raw", disk_format="raw", container_format="bare",
                                validate_checksum=True, hw_disk_bus="scsi", tags=["x"], wait=True, timeout=60)
image = cloud.image.get_image(made.id)
again = cloud.image.download_image(image, stream=False).content
parts = b"".join(cloud.image.download_image(image, stream=True).iter_content(chunk_size=65536))
cloud.image.update_image(image, name="renamed", min_disk=2, hw_disk_bus="virtio")
changed = cloud.image.get_image(made.id)
by_name = cloud.image.find_image("renamed")
empty = cloud.image.create_image("empty", disk_format="raw", container_format="bare", allow_duplicates=True)
names = sorted(i.name for i in cloud.image.images(limit=1))
versions = [(v["id"], v["status"]) for v in cloud.session.get(sys.argv[1] + "/versions", authenticated=False).json()["versions"]]
keep = lambda i: {k: v for k, v in i.to_dict().items() if k not in ("location",)}
cloud.image.delete_image(made.id)
cloud.image.delete_image(made.id, ignore_missing=True)
left = [i.name for i in cloud.image.images()]
print(json.dumps({"image": keep(image), "changed": keep(changed), "same": again == data and parts == data,
                  "found": by_name.name, "names": names, "left": left, "empty": keep(empty), "versions": versions},
                 default=str))
"#;

#[test]
fn sdk() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "sqlite");
    let runs = sides.each_ref().map(|side| {
        fs::write(side.work.join("steps.py"), SDK).unwrap();
        let run = side.run("python", &["steps.py", &side.url]);
        assert!(run.ok, "{run:?}");
        run
    });
    let [theirs, ours] = [printed(&runs[0], &sides[0]), printed(&runs[1], &sides[1])];
    assert_eq!(ours["same"], true);
    assert_eq!(ours, theirs);
}

/// The functional tests of the SDK that are about images, on both services.
#[test]
fn functional_tests_of_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "mariadb");
    let run = |side: &Side| {
        fs::write(side.work.join("functional.py"), include_str!("../data/sdk_functional.py")).unwrap();
        let run = side.run("python", &["functional.py"]);
        let outcomes: Option<Value> = run.printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
        outcomes.unwrap_or_else(|| panic!("{run:?}"))
    };
    let [theirs, ours] = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&sides[0]));
        let ours = run(&sides[1]);
        [theirs.join().unwrap(), ours]
    });
    let outcomes = ours.as_object().unwrap();
    assert!(outcomes.len() >= 10 && outcomes.values().all(|outcome| outcome == "passed"), "{ours:#}");
    assert_eq!(ours, theirs);
}
