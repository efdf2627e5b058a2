//! Databases that have no space left.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::common::database::Server as Database;
use crate::common::disk::SmallDisk;
use crate::common::{Answer, Request, Server, wait_for};
use crate::{Rig, image, make_tables_at, patch, tables_in_one_file, uuid};

#[test]
fn a_full_disk_below_sqlite() {
    full_disk(None);
}

/// The tables lie on a disk that fills up.
pub(crate) fn full_disk(postgres: Option<&Database>) {
    let folder = tempfile::Builder::new().prefix("glance-full").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let place = folder.path().join("small");
    let disk = SmallDisk::on(place.clone(), 24 << 20);
    let url = match postgres {
        None => format!("sqlite:///{}/glance.db", place.display()),
        Some(database) => {
            assert!(Command::new("chown").arg("postgres").arg(&place).status().unwrap().success());
            database.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
            database.sql("CREATE DATABASE small TEMPLATE template0 TABLESPACE small");
            let url = database.url_of("small");
            make_tables_at(&url);
            url
        }
    };
    let server = Server::with(|conf| conf.set("database.connection", url));
    create_large(&server).expect(201);
    let filler = place.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    refuses_until_there_is_space(&server, || std::fs::remove_file(&filler).unwrap());
    drop(server);
    if let Some(database) = postgres {
        database.sql("DROP DATABASE small");
    }
    drop(disk);
}

/// The file of all tables of MariaDB has reached its largest size, until that is made larger.
pub(crate) fn full_tables(rig: &mut Rig) {
    rig.database.sql("CREATE TABLE filler (text MEDIUMTEXT)");
    rig.database.sql(
        "DELIMITER //\nBEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1114 BEGIN END; \
         LOOP INSERT INTO filler VALUES (REPEAT('x', 100000)); END LOOP; END //",
    );
    refuses_until_there_is_space(&rig.server, || rig.database.restart_with(tables_in_one_file("64M").to_vec()));
}

/// What MariaDB says where it is the disk that is full.
pub(crate) fn full_disk_in_words(rig: &Rig) {
    for (number, text) in [
        (1021, "Disk full (/tmp/#sql-temptable.MAI); waiting for someone to free some space..."),
        (3, "Error writing file \"/tmp/MY\" (Errcode: 28 \"No space left on device\")"),
        (1026, "Error writing file \"/tmp/MY\" (Errcode: 28 \"No space left on device\")"),
        (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"),
    ] {
        rig.database.sql(&format!(
            "CREATE OR REPLACE TRIGGER disk BEFORE INSERT ON images FOR EACH ROW \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{text}'"
        ));
        let id = uuid();
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(503);
        rig.database.sql("DROP TRIGGER disk");
        rig.server.send(&Request::new("POST", "/v2/images").json(&image(&id))).expect(201);
    }
}

fn create_large(server: &Server) -> Answer {
    let mut image = image(&uuid());
    image["name"] = json!("large");
    for number in 0..20 {
        image[format!("p{number}")] = json!("x".repeat(2000));
    }
    server.send(&Request::new("POST", "/v2/images").json(&image))
}

/// Where the database has no space, clients are told that it is not their fault, what is there is whole, and all is well as soon as
/// there is space again.
fn refuses_until_there_is_space(server: &Server, make_space: impl FnOnce()) {
    let mut made = Vec::new();
    let refused = (0..400).find_map(|_| {
        let answer = create_large(server);
        if answer.status != 201 {
            return Some(answer);
        }
        made.push(answer.json()["id"].as_str().unwrap().to_owned());
        None
    });
    let refused = refused.expect("it never fills up");
    assert_eq!(refused.status, 503, "{}\n{}", refused.text(), server.log());
    server.log_with("the database has no space left");
    create_large(server).expect(503);
    let list = server.send(&Request::new("GET", "/v2/images?limit=500&name=large")).expect(200).json();
    let list = list["images"].as_array().unwrap();
    for shown in list {
        assert!((0..20).all(|number| shown[format!("p{number}")].is_string()), "{shown}");
        assert_eq!(shown["tags"].as_array().unwrap().len(), 2);
    }
    assert!(made.iter().all(|id| list.iter().any(|shown| shown["id"] == **id)), "{made:?} are not all in {list:?}");
    make_space();
    wait_for("space again", Duration::from_secs(30), || (create_large(server).status == 201).then_some(()));
    let id = made
        .first()
        .map_or_else(|| create_large(server).expect(201).json()["id"].as_str().unwrap().to_owned(), Clone::clone);
    server.send(&patch(&id, "changed")).expect(200);
}
