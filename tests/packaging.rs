//! What the packages bring must say what the program does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use glance_api::config::{Arguments, Config, Sources};
use glance_api::manage;
use glance_api::policy::{RuleDefault, default_rules};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(packaging(name)).unwrap()
}

/// The long names of all options and the names of all commands, those of commands included.
fn names(command: &clap::Command) -> (Vec<String>, Vec<String>) {
    let shown = |argument: &&clap::Arg| !argument.is_hide_set();
    let options = command.get_arguments().filter(shown).filter_map(|argument| argument.get_long().map(str::to_owned));
    let mut found = (options.collect::<Vec<_>>(), Vec::new());
    for inner in command.get_subcommands() {
        let (options, commands) = names(inner);
        found.0.extend(options);
        found.1.push(inner.get_name().to_owned());
        found.1.extend(commands);
    }
    found
}

#[test]
fn man_pages_and_completions_name_every_option_and_command() {
    let programs = [
        ("glance-api", Arguments::command()),
        ("glance-manage", manage::command()),
        ("glance-status", manage::status::command()),
    ];
    for (program, mut command) in programs.into_iter().chain(manage::cache::all_commands()) {
        command.build();
        let (options, commands) = names(&command);
        assert!(options.len() > 10);
        let page = read(&format!("man/{program}.1")).replace("\\-", "-");
        // Of one program that goes by three names.
        let is_job = ["glance-cache-pruner", "glance-cache-cleaner", "glance-cache-prefetcher"].contains(&program);
        let file = if is_job { "glance-cache-jobs" } else { program };
        let completions = [format!("completions/{file}.bash"), format!("completions/_{file}")];
        let fish = read(&format!("completions/{file}.fish"));
        for text in completions.iter().map(|file| read(file)) {
            let is_registered = text.lines().any(|line| {
                let mut words = line.split(' ');
                ["#compdef", "complete"].contains(&words.next().unwrap_or_default())
                    && words.any(|word| word == program)
            });
            assert!(is_registered, "the completions are not those of {program}");
        }
        let named = if is_job { program.trim_start_matches("glance-cache-") } else { program };
        let is_named = |line: &str| !line.starts_with('#') && line.contains(named);
        assert!(fish.lines().any(is_named), "{file}.fish does not name {program}");
        for option in options {
            assert!(page.contains(&format!("--{option}")), "{program}(1) does not name --{option}");
            for file in &completions {
                assert!(read(file).contains(&format!("--{option}")), "{file} does not name --{option}");
            }
            assert!(fish.contains(&format!("-l {option} ")) || option == "version", "{program}.fish: no --{option}");
        }
        for name in commands {
            assert!(page.contains(&name), "{program}(1) does not name {name}");
            for text in completions.iter().map(|file| read(file)).chain([fish.clone()]) {
                let is_named = |word: &str| word.trim_start_matches('(').trim_end_matches(')') == name;
                let mut words = text.split(|c: char| c.is_whitespace() || "'\":;".contains(c));
                assert!(words.any(is_named), "the completions of {program} do not name {name}");
            }
        }
    }
}

/// Options of this service that no other manual describes.
#[test]
fn the_page_of_the_configuration_names_the_options_of_its_own() {
    let page = read("man/glance-api.conf.5");
    let sources = Sources {
        arguments: Arguments::parse(["glance-api".into()]).unwrap(),
        environment: [("STATE_DIRECTORY".to_owned(), "/var/lib/glance".to_owned())].into(),
        etc: PathBuf::from("/nonexistent"),
    };
    let mut report = Vec::new();
    Config::load(&sources, &glance_api::store::kinds()).unwrap().report(&mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    let names: Vec<&str> =
        report.lines().filter_map(|line| line.strip_prefix("[service] ")?.split(" = ").next()).collect();
    assert!(names.contains(&"max_connections"), "{report}");
    for name in names {
        assert!(page.contains(&format!(".B {name}\n")), "glance-api.conf(5) does not describe [service] {name}");
    }
}

#[test]
fn the_file_of_the_package_is_fit_for_use() {
    let file = packaging("etc/glance-api.conf").into_os_string();
    let arguments = Arguments::parse(["glance-api".into(), "--config-file".into(), file]).unwrap();
    let sources = Sources { arguments, environment: [].into(), etc: PathBuf::from("/nonexistent") };
    let loaded = Config::load(&sources, &glance_api::store::kinds()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.default.bind_host, "127.0.0.1");
}

/// `GLANCE_WRITE_SAMPLES=1 cargo test --test packaging` brings the file up to date.
#[test]
fn the_sample_of_the_policy_has_the_rules_in_force() {
    let mut sample = String::from(
        "# The rules that are in force. To change one, copy it to /etc/glance/policy.yaml without the # and reload the service.\n\
         # The language is that of oslo.policy.\n",
    );
    for rule in default_rules() {
        write_rule(&mut sample, rule);
    }
    if std::env::var_os("GLANCE_WRITE_SAMPLES").is_some() {
        fs::write(packaging("etc/policy.yaml.sample"), &sample).unwrap();
    }
    assert!(read("etc/policy.yaml.sample") == sample, "packaging/etc/policy.yaml.sample is not what the rules are");
}

fn write_rule(sample: &mut String, rule: &RuleDefault) {
    let _ = writeln!(sample, "\n# {}", rule.description);
    for (method, path) in rule.operations {
        let _ = writeln!(sample, "# {method} {path}");
    }
    if let Some(scopes) = rule.scopes {
        let _ = writeln!(sample, "# Scopes: {}", scopes.join(", "));
    }
    if let Some(release) = rule.leaving_since {
        let _ = writeln!(sample, "# To override it has been pointless since release {release}.");
    }
    let quoted = rule.check.replace('\\', "\\\\").replace('"', "\\\"");
    let _ = writeln!(sample, "#\"{}\": \"{quoted}\"", rule.name);
    if let Some(legacy) = rule.legacy {
        let quoted = legacy.check.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(sample, "# Until {}: \"{quoted}\"", legacy.since);
    }
}
