//! Images by the two command line clients.

use std::fs;
use std::path::PathBuf;

use crate::outcomes::{both, ids};
use crate::side::{SMALL, data, sides, with_upstream};

#[test]
fn openstack_client() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "postgresql");
    let none = [String::new(), String::new()];
    let create = ["openstack", "image", "create", "-f", "json", "--disk-format", "raw", "--container-format", "bare"];
    let made = both(
        &sides,
        &none,
        true,
        &[&create[..], &["--file", "data.raw", "--property", "os_distro=debian", "--tag", "a", "first"]].concat(),
    );
    let id = ids(&made);
    for line in [
        &["openstack", "image", "list", "-f", "json"][..],
        &["openstack", "image", "list", "-f", "json", "--long", "--sort", "name:asc"],
        &["openstack", "image", "list", "-f", "json", "--tag", "a", "--property", "os_distro=debian", "--limit", "1"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "show", "-f", "json", "first"],
        &["openstack", "image", "set", "<id>", "--name", "second", "--property", "k=v", "--property", "os_distro=arch"],
        &["openstack", "image", "set", "<id>", "--min-disk", "3", "--min-ram", "64", "--tag", "b", "--private"],
        &["openstack", "image", "set", "<id>", "--protected"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "unset", "<id>", "--property", "k", "--tag", "a"],
        &["openstack", "image", "set", "<id>", "--unprotected", "--community", "--hidden"],
        &["openstack", "image", "show", "-f", "json", "<id>"],
        &["openstack", "image", "list", "-f", "json"],
        &["openstack", "image", "list", "-f", "json", "--hidden"],
        &["openstack", "image", "save", "--file", "saved", "<id>"],
    ] {
        both(&sides, &id, true, line);
    }
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data(), "{} gave other data back", side.url);
    }
    both(&sides, &none, true, &[&create[..], &["empty"]].concat());
    both(&sides, &id, false, &["openstack", "image", "set", "<id>", "--public"]);
    both(&sides, &id, false, &["openstack", "image", "show", "-f", "json", "nothing"]);
    both(
        &sides,
        &id,
        false,
        &["openstack", "image", "create", "--disk-format", "qcow2", "--file", "data.raw", "wrong"],
    );
    both(&sides, &id, true, &["openstack", "image", "delete", "<id>"]);
    both(&sides, &id, false, &["openstack", "image", "delete", "<id>"]);
    // The client has uploaded the nothing that it read from its standard input.
    both(&sides, &none, true, &["openstack", "image", "delete", "empty"]);
    if !with_upstream() {
        // Upstream keeps what it refused above for its format.
        for store in ["fast", "slow"] {
            let files = fs::read_dir(folder.path().join("ours").join(store)).unwrap();
            let left: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
            assert!(left.is_empty(), "data left in {store}: {left:?}");
        }
    }
}

#[test]
fn glance_client() {
    let folder = tempfile::tempdir().unwrap();
    let sides = sides(folder.path(), "mariadb");
    let none = [String::new(), String::new()];
    // The glance client prints tables; their text is compared as it is. The id is chosen, so it is known.
    let id = "5e5e5e5e-0000-4000-8000-00000000000e";
    let ids = [id.to_owned(), id.to_owned()];
    both(
        &sides,
        &none,
        true,
        &[
            "glance",
            "image-create",
            "--id",
            id,
            "--name",
            "one",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--property",
            "k=v",
            "--tags",
            "a",
            "--file",
            "small.raw",
        ],
    );
    for line in [
        &["glance", "image-list"][..],
        &["glance", "image-list", "--sort", "name:asc", "--limit", "1"],
        &["glance", "image-show", "<id>"],
        &["glance", "image-update", "--name", "two", "--property", "k=w", "--min-disk", "1", "<id>"],
        &["glance", "image-update", "--remove-property", "k", "--visibility", "private", "<id>"],
        &["glance", "image-download", "--file", "saved", "<id>"],
        &[
            "glance",
            "image-create",
            "--name",
            "two",
            "--disk-format",
            "raw",
            "--container-format",
            "bare",
            "--min-ram",
            "5",
        ],
    ] {
        both(&sides, &ids, true, line);
    }
    for side in &sides {
        assert!(fs::read(side.work.join("saved")).unwrap() == data()[..SMALL], "{} gave other data back", side.url);
    }
    both(&sides, &ids, false, &["glance", "image-update", "--visibility", "public", "<id>"]);
    both(&sides, &ids, true, &["glance", "image-delete", "<id>"]);
    both(&sides, &ids, false, &["glance", "image-show", "<id>"]);
    both(&sides, &ids, false, &["glance", "image-delete", "<id>"]);
}
