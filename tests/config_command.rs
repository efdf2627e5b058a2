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
fn check_config_shows_what_would_be_in_force() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.conf");
    let conf = "[DEFAULT]\nbaklog = 3\n[database]\nconnection = mysql://u:hunter2@db/g\n";
    std::fs::write(&path, conf).unwrap();
    let file = path.display().to_string();
    let output = glance_api(&["--check-config", "--config-file", &file, "--debug"], home.path());
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    for line in [
        "[DEFAULT] backlog = 4096  # default".to_owned(),
        "[import_filtering_opts] allowed_ports = [80,443]  # default".to_owned(),
        "[DEFAULT] debug = true  # command line".to_owned(),
        format!("[database] connection = mysql://u:****@db/g  # {file}:4"),
    ] {
        assert!(shown.lines().any(|known| known == line), "{line} not in {shown}");
    }
    assert_eq!(
        text(&output.stderr),
        format!("warning: {file}:2: [DEFAULT] baklog is an unknown option, it is ignored\n")
    );
}
