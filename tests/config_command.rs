//! What `glance-api` says and how it ends, as far as arguments and configuration decide it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn glance_api(arguments: &[&str], home: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glance-api"));
    command.args(arguments).env_clear().env("HOME", home).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn bad_arguments_end_with_64() {
    let home = tempfile::tempdir().unwrap();
    let output = glance_api(&["--no-such-thing"], home.path());
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("--no-such-thing"));
    for argument in ["--help", "--version"] {
        let output = glance_api(&[argument], home.path());
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("glance-api"));
    }
}

#[test]
fn a_bad_configuration_ends_with_78_and_says_where() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.conf");
    std::fs::write(&path, "[DEFAULT]\nbacklog = none\n[database]\nconnection = sqlite://\n").unwrap();
    let file = path.display().to_string();
    for check in [&["--config-file", &file][..], &["--check-config", "--config-file", &file][..]] {
        let output = glance_api(check, home.path());
        assert_eq!(output.status.code(), Some(78));
        let expected = format!("{file}:2: [DEFAULT] backlog = none: the value must be an integer, 1 or greater\n");
        assert_eq!(text(&output.stderr), expected);
    }
}

#[test]
fn check_config_refuses_what_a_start_refuses() {
    let home = tempfile::tempdir().unwrap();
    let place = |name: &str| home.path().join(name).display().to_string();
    for (name, text) in [("rules.yaml", "a: ["), ("x.ini", "[nothing]"), ("c.pem", "c"), ("k.pem", "k")] {
        std::fs::write(place(name), text).unwrap();
    }
    let cases = [
        (
            "[DEFAULT]\ndefault_log_levels = glance",
            "HOME/a.conf:2: [DEFAULT] default_log_levels: \"glance\" is not of the form",
        ),
        (
            "[DEFAULT]\nuse_syslog = true\nsyslog_log_facility = moon",
            "HOME/a.conf:3: [DEFAULT] syslog_log_facility: \"moon\" is no facility",
        ),
        (
            "[DEFAULT]\nlog_dir = /nowhere/at/all",
            "HOME/a.conf:2: [DEFAULT] log_dir: /nowhere/at/all/glance-api.log cannot be",
        ),
        ("[database]\nconnection = oracle://db/g", "HOME/a.conf:2: [database] connection: "),
        (
            "[paste_deploy]\nconfig_file = /nowhere.ini",
            "HOME/a.conf:2: [paste_deploy] config_file = /nowhere.ini: cannot be read: ",
        ),
        ("[paste_deploy]\nconfig_file = HOME/x.ini", "HOME/x.ini: "),
        (
            "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_type = magic\nauth_url = http://k",
            "HOME/a.conf:4: [keystone_authtoken] auth_type magic is not supported",
        ),
        ("[DEFAULT]\ncert_file = HOME/c.pem\nkey_file = HOME/k.pem", "HOME/a.conf:2: [DEFAULT] cert_file HOME/c.pem: "),
        ("[oslo_policy]\npolicy_file = HOME/rules.yaml", "policy file HOME/rules.yaml: "),
        (
            "[glance_store]\nfilesystem_store_datadirs = /a:high",
            "HOME/a.conf:2: [glance_store] filesystem_store_datadirs: Invalid priority value high",
        ),
        (
            "[glance_store]\nfilesystem_store_file_perm = 99",
            "HOME/a.conf:2: [glance_store] filesystem_store_file_perm: ",
        ),
        (
            "[glance_store]\nfilesystem_store_metadata_file = /nowhere.json",
            "HOME/a.conf:2: [glance_store] filesystem_store_metadata_file: ",
        ),
        (
            "[glance_store]\nstores = s3\ndefault_store = s3",
            "HOME/a.conf:2: [glance_store] stores: this version has no driver for stores of type s3",
        ),
        (
            "[DEFAULT]\nenabled_backends = v:vmware\n[glance_store]\ndefault_backend = v",
            "HOME/a.conf:2: [DEFAULT] enabled_backends: this version has no driver for stores of type vmware",
        ),
        (
            "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_type = password\nauth_url = http://k\n\
             username = g\npassword = p\nproject_name = s\ncafile = /nowhere.pem",
            "HOME/a.conf:9: [keystone_authtoken] cafile: cannot read /nowhere.pem",
        ),
        ("[barbican]\nverify_ssl_path = /nowhere.pem", "HOME/a.conf:2: [barbican] verify_ssl_path: cannot read "),
        // Nothing is set that could be named.
        (
            "[paste_deploy]\nflavor = caching",
            "the pipeline has the filter cache, but [DEFAULT] image_cache_dir is not set",
        ),
        (
            "[paste_deploy]\nflavor = caching\n[DEFAULT]\nimage_cache_dir = HOME/cache\nimage_cache_driver = centralized_db",
            "HOME/a.conf:5: [DEFAULT] image_cache_driver = centralized_db: worker_self_reference_url needs to be set",
        ),
        ("[DEFAULT]\nimage_cache_dir = HOME/c.pem", "HOME/a.conf:2: [DEFAULT] image_cache_dir = HOME/c.pem: "),
        (
            "[glance_store]\nstores = rbd\ndefault_store = rbd\nrbd_store_ceph_conf = /nowhere.conf",
            "HOME/a.conf:4: [glance_store] rbd_store_ceph_conf /nowhere.conf: ",
        ),
    ];
    for (conf, words) in cases {
        let conf = conf.replace("HOME", &home.path().display().to_string());
        let words = words.replace("HOME", &home.path().display().to_string());
        let database =
            if conf.contains("[database]") { "" } else { "[database]\nconnection = sqlite:////nowhere/g.db\n" };
        std::fs::write(place("a.conf"), format!("{conf}\n{database}")).unwrap();
        for check in [&["--check-config", "--config-file"][..], &["--config-file"]] {
            let output = glance_api(&[check, &[&place("a.conf")]].concat(), home.path());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{check:?} {conf}: {said}");
            // A start says it in a line of its log.
            let is_said = if check.len() > 1 { said.starts_with(&words) } else { said.contains(&words) };
            assert!(is_said, "{check:?} {conf}: {words} not in {said}");
        }
    }
}

/// A start first wants the database.
#[test]
fn check_config_says_where_the_health_check_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.conf").display().to_string();
    for (option, words) in [
        ("allowed_source_ranges = moon", "allowed_source_ranges: moon: not a network"),
        (
            "backends = disable_by_file,enable_by_files",
            "backends: disable_by_file and enable_by_files exclude each other",
        ),
    ] {
        let conf = format!("[database]\nconnection = sqlite:////nowhere/g.db\n[healthcheck]\n{option}\n");
        std::fs::write(&path, conf).unwrap();
        let output = glance_api(&["--check-config", "--config-file", &path], home.path());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.starts_with(&format!("{path}:4: [healthcheck] {words}")), "{said}");
    }
}

#[test]
fn check_config_shows_what_would_be_in_force() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.conf");
    let conf = "[DEFAULT]\nbaklog = 3\n[database]\nconnection = mysql://u:hunter2@db/g\n";
    std::fs::write(&path, conf).unwrap();
    let file = path.display().to_string();
    let output = glance_api(&["--check-config", "--config-file", &file, "--debug"], home.path());
    // Everything is shown; then the database is looked for, and is not there.
    assert_eq!(output.status.code(), Some(69));
    let shown = text(&output.stdout);
    for line in [
        "[DEFAULT] backlog = 4096  # default".to_owned(),
        "[import_filtering_opts] allowed_ports = [80,443]  # default".to_owned(),
        "[DEFAULT] debug = true  # command line".to_owned(),
        format!("[database] connection = mysql://u:****@db/g  # {file}:4"),
    ] {
        assert!(shown.lines().any(|known| known == line), "{line} not in {shown}");
    }
    let told = text(&output.stderr);
    let warning = format!("warning: {file}:2: [DEFAULT] baklog is an unknown option, it is ignored\n");
    let rest = told.strip_prefix(&warning).unwrap();
    assert!(rest.starts_with("database: the database cannot be reached") && rest.lines().count() == 1, "{rest}");
    assert!(!told.contains("hunter2"));
}

/// The tables, where the database answers; a file that a start would make is not made.
#[test]
fn check_config_looks_at_the_tables() {
    let home = tempfile::tempdir().unwrap();
    let (conf, file) = (home.path().join("a.conf"), home.path().join("g.db"));
    std::fs::write(&conf, format!("[database]\nconnection = sqlite:///{}\n", file.display())).unwrap();
    let conf = conf.display().to_string();
    let check = || {
        let output = glance_api(&["--check-config", "--config-file", &conf], home.path());
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let manage = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glance-manage"));
        let done = command.args(["--config-file", &conf]).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    assert_eq!(check(), (0, String::new()));
    assert!(std::fs::metadata(&file).is_err());
    manage(&["db", "upgrade", "mitaka02"]);
    let (status, told) = check();
    assert_eq!(status, 78);
    let expected = "the tables are at revision mitaka02, this program works with 2024_1_contract01: `glance-manage db sync` \
                    migrates the database\n";
    assert!(told.ends_with(expected), "{told}");
    manage(&["db", "sync"]);
    assert_eq!(check(), (0, String::new()));
}
