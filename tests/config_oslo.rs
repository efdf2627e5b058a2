//! The reader of configuration files compared with oslo.config itself, on generated files.
//!
//! Needs a Python with oslo.config: `GLANCE_TEST_OSLO_PYTHON` names it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use glance_api::config::{Arguments, Config, ConfigErrors, Problem, Sources, ini};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use serde_json::{Value, json};

const CASES: usize = 400;

fn python() -> PathBuf {
    match std::env::var_os("GLANCE_TEST_OSLO_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => panic!(
            "GLANCE_TEST_OSLO_PYTHON is not set: it names a Python with oslo.config. To make one:\n  \
             python3 -m venv /tmp/oslo && /tmp/oslo/bin/pip install oslo.config==10.7.0 && \
             export GLANCE_TEST_OSLO_PYTHON=/tmp/oslo/bin/python"
        ),
    }
}

/// Writes the texts as files, and asks oslo.config what is in them; one process for all.
fn ask(texts: &[String]) -> (tempfile::TempDir, BTreeMap<String, Value>) {
    let directory = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(directory.path().join(name(number)), text).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_oslo.py");
    let output = Command::new(python()).arg("-W").arg("ignore").arg(script).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (directory, serde_json::from_slice(&output.stdout).unwrap())
}

fn name(number: usize) -> String {
    format!("case-{number:05}.conf")
}

fn samples(strategy: impl Strategy<Value = String>) -> Vec<String> {
    let mut runner = TestRunner::new(RunnerConfig::default());
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Files of lines that look right, look wrong, or are noise.
fn files() -> impl Strategy<Value = String> {
    let blank = "[ \t\u{a0}\u{1f}]{0,2}";
    let name = "[a-z_.:=-]{0,4}";
    let value = "[a-z =:#;,'\"\\\\$\\[\\]]{0,8}";
    let quoted = "(['\"])[a-z '\"]{0,4}(['\"])";
    let line = prop_oneof![
        4 => (name, blank, "[=:]", blank, value, blank).prop_map(|(k, a, s, b, v, c)| format!("{k}{a}{s}{b}{v}{c}")),
        2 => (name, quoted).prop_map(|(k, v)| format!("{k}x = {v}")),
        2 => "[a-zA-Z. \\]]{0,3}".prop_map(|name| format!("[{name}]")),
        1 => value.prop_map(|text| format!("  {text}")),
        1 => value.prop_map(|text| format!("# {text}")),
        1 => Just(String::new()),
        1 => "\\PC{0,8}",
    ];
    let end = prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r"), 1 => Just("\n\n")];
    // Most files begin well: else few would get further than the first line.
    (any::<bool>(), prop::collection::vec((line, end), 0..12)).prop_map(|(well, lines)| {
        let head = if well { "[DEFAULT]\n" } else { "" };
        lines.into_iter().fold(head.to_owned(), |text, (line, end)| text + &line + end)
    })
}

#[test]
fn files_are_read_as_oslo_reads_them() {
    let texts = samples(files());
    let (_directory, answers) = ask(&texts);
    let mut refused = 0;
    for (number, text) in texts.iter().enumerate() {
        let oslo = &answers[&name(number)]["parsed"];
        match ini::parse(text) {
            Ok(document) => {
                let mut sections = BTreeMap::<&str, BTreeMap<&str, Vec<&str>>>::new();
                for (section, _) in &document.sections {
                    sections.entry(section).or_default();
                }
                for entry in &document.entries {
                    let section = sections.entry(&entry.section).or_default();
                    section.entry(&entry.key).or_default().push(&entry.value);
                }
                assert_eq!(json!({ "sections": sections }), *oslo, "{text:?}");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(json!(error.kind.to_string()), oslo["message"], "{text:?}");
                // oslo.config notices a missing section only when the value has ended.
                if error.kind != ini::SyntaxErrorKind::NoSection {
                    assert_eq!(json!(error.line), oslo["line"], "{text:?}");
                }
            }
        }
    }
    assert!((CASES / 10..CASES * 9 / 10).contains(&refused), "{refused} of {CASES} files are bad");
}

/// Values for each option, good and bad.
fn settings() -> impl Strategy<Value = String> {
    let reference = prop_oneof![
        Just("$backlog"),
        Just("${bind_port}"),
        Just("$debug"),
        Just("${glance_store.filesystem_store_datadir}"),
        Just("$public_endpoint"),
        Just("$nothing"),
        Just("$$x"),
        Just("\\$x"),
        Just("$ 1"),
        Just("${open"),
    ];
    let text = prop_oneof![2 => "[a-zA-Z0-9/:,. '\"_-]{0,6}", 1 => reference.prop_map(str::to_owned)];
    let text = prop::collection::vec(text, 1..3).prop_map(|parts| parts.concat());
    let number = prop_oneof![
        "-?[0-9]{1,6}",
        "[0-9]_[0-9]{1,2}",
        " [0-9]{0,2} ",
        "[+-][0-9]",
        "0[0-9]",
        "[0-9]\\.[0-9]?",
        "[0-9]e[0-9]",
        "[a-z]{0,2}"
    ];
    let boolean = prop_oneof!["(?i)(true|yes|on|1|false|no|off|0)", "[a-z]{0,3}"];
    let list = prop_oneof![
        "[a-z', ]{0,8}",
        "\\[[a-z', ]{0,8}\\]",
        "\\[['\"][a-z,]{0,3}['\"],[a-z]\\]",
        "\\[[0-9]{1,5}(, ?[0-9]{1,5}){0,2}\\]"
    ];
    let pairs = "([a-c]{0,2}:[a-z:]{0,3},? ?){0,3}";
    let setting = prop_oneof![
        ("(backlog|bind_port)", number.clone()).prop_map(|(k, v)| ("DEFAULT", k, v)),
        boolean.prop_map(|v| ("DEFAULT", "debug".to_owned(), v)),
        ("(public_endpoint|log_file|logfile)", text.clone()).prop_map(|(k, v)| ("DEFAULT", k, v)),
        "(roles|policies|Roles|)".prop_map(|v| ("DEFAULT", "property_protection_rule_format".to_owned(), v)),
        ("(disabled_notifications|disk_formats)", list.clone()).prop_map(|(k, v)| ("DEFAULT", k, v)),
        list.clone().prop_map(|v| ("image_format", "disk_formats".to_owned(), v)),
        text.clone().prop_map(|v| ("Glance_Store", "filesystem_store_datadir".to_owned(), v)),
        text.prop_map(|v| ("oslo_policy", "policy_dirs".to_owned(), v)),
        pairs.prop_map(|v| ("glance_store", "http_proxy_information".to_owned(), v)),
        ("(allowed_schemes|allowed_ports)", list).prop_map(|(k, v)| ("import_filtering_opts", k, v)),
        number.prop_map(|v| ("oslo_messaging_rabbit", "kombu_reconnect_delay".to_owned(), v)),
    ];
    prop::collection::vec(setting, 1..8).prop_map(|settings| {
        settings.into_iter().map(|(section, key, value)| format!("[{section}]\n{key} = {value}\n")).collect()
    })
}

/// Our value of an option in oslo.config's form.
fn value(config: &Config, option: &str) -> Value {
    let default = &config.default;
    let text = |option| config.driver_options.text(option);
    match option {
        "DEFAULT.backlog" => json!(default.backlog),
        "DEFAULT.bind_port" => json!(default.bind_port),
        "DEFAULT.debug" => json!(default.debug),
        "DEFAULT.public_endpoint" => json!(default.public_endpoint),
        "DEFAULT.property_protection_rule_format" => json!(default.property_protection_rule_format),
        "DEFAULT.disabled_notifications" => json!(default.disabled_notifications),
        "DEFAULT.log_file" => json!(default.log_file),
        "glance_store.filesystem_store_datadir" => json!(text("filesystem_store_datadir")),
        "glance_store.http_proxy_information" => pairs(&text("http_proxy_information").unwrap_or_default()),
        "oslo_policy.policy_dirs" => json!(config.oslo_policy.policy_dirs),
        "image_format.disk_formats" => json!(config.image_format.disk_formats),
        "import_filtering_opts.allowed_schemes" => json!(config.import_filtering_opts.allowed_schemes),
        "import_filtering_opts.allowed_ports" => json!(config.import_filtering_opts.allowed_ports),
        "oslo_messaging_rabbit.kombu_reconnect_delay" => json!(config.oslo_messaging_rabbit.kombu_reconnect_delay),
        _ => panic!("{option}"),
    }
}

/// Neither has a key a colon, nor a value a comma.
fn pairs(text: &str) -> Value {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once(':').unwrap()).map(|(key, value)| json!([key, value])).collect()
}

/// Options that the generated file sets; the others have defaults that differ here and there by intent.
fn is_set(text: &str, option: &str) -> bool {
    let name = option.rsplit('.').next().unwrap();
    let former = if name == "log_file" { "logfile" } else { name };
    text.lines().any(|line| line.split(" =").next().is_some_and(|key| key == name || key == former))
}

fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let arguments = [std::ffi::OsString::from("glance-api"), "--config-file".into(), path.into()];
    let environment = [("OS_DATABASE__CONNECTION", "sqlite://")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let arguments = Arguments::parse(arguments).unwrap();
    let sources = Sources { arguments, environment: environment.into(), etc: PathBuf::from("/nonexistent") };
    Config::load(&sources, &glance_api::store::kinds()).map(|loaded| loaded.config)
}

#[test]
fn values_are_what_oslo_makes_of_them() {
    let texts = samples(settings());
    let (directory, answers) = ask(&texts);
    let (mut good, mut bad) = (0, 0);
    for (number, text) in texts.iter().enumerate() {
        let options = answers[&name(number)]["options"].as_object().unwrap();
        let set = options.iter().filter(|(option, _)| is_set(text, option));
        let loaded = load(&directory.path().join(name(number)));
        let refused: Vec<String> = match &loaded {
            Ok(_) => Vec::new(),
            Err(errors) => errors
                .problems()
                .iter()
                .filter_map(|problem| match problem {
                    Problem::Value { section, option, .. } => Some(format!("{section}.{option}")),
                    _ => None,
                })
                .collect(),
        };
        for (option, answer) in set {
            if answer["error"] == json!(true) {
                bad += 1;
                assert!(refused.contains(option), "{option} is refused by oslo.config only: {text}");
                continue;
            }
            assert!(!refused.contains(option), "{option} is refused here only: {text}\n{answer}");
            if let Ok(config) = &loaded {
                good += 1;
                let ours = value(config, option);
                if ours.is_number() && answer["value"].is_null() {
                    // An empty number is none to oslo.config; here its default stands.
                    assert_eq!(ours, value(&Config::default(), option), "{option}: {text}");
                    continue;
                }
                assert_eq!(comparable(&ours), comparable(&answer["value"]), "{option}: {text}");
            }
        }
    }
    assert!(good > CASES / 4 && bad > CASES / 4, "{good} good and {bad} bad values are too few");
}

/// Intended differences: an empty text is an unset option; the items of lists of numbers are texts, empty ones are left out.
fn comparable(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) => {
            let present = items.iter().filter(|item| !item.is_null());
            present.map(|item| if item.is_number() { json!(item.to_string()) } else { item.clone() }).collect()
        }
        other => other.clone(),
    }
}
