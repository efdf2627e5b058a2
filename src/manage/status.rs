//! `glance-status upgrade check` (`glance/cmd/status.py`, `oslo_upgradecheck`): what a former release allowed and this one does not.
//!
//! Upstream's own tool ends with a traceback in the release that this program follows; here the checks that it means to make are made.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::json;

use super::console::say;
use super::{DONE, USAGE};
use crate::config::{CommonArguments, Partial, Program, Sources};
use crate::schema::python::json;
use crate::store;

/// At least one check failed: this must be settled before the upgrade.
const FAILURE: u8 = 2;
/// The checks could not be made.
const ERROR: u8 = 255;

const TITLE: &str = "Upgrade Check Results";
const POLICY_FILE: &str = "policy.yaml";
/// Words of configuration files that mean no.
const NO: [&str; 4] = ["0", "false", "no", "off"];

/// Glance Status Utility
#[derive(Debug, Parser)]
#[command(name = "glance-status", version, infer_long_args = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 ready; 2 not ready, or bad arguments; 255 the checks could not be made.")]
struct Line {
    #[command(flatten)]
    common: CommonArguments,
    #[command(subcommand)]
    command: Category,
}

#[derive(Debug, Subcommand)]
enum Category {
    /// Checks before an upgrade
    Upgrade {
        /// What to do: check
        check: String,
        /// Output the results in JSON format. Default is to print results in human readable table format.
        #[arg(long)]
        json: bool,
    },
}

/// A check that failed: its details, and the same in lines of at most 60 letters as Python's `textwrap` breaks them.
struct Flaw {
    details: &'static str,
    lines: &'static [&'static str],
}

const SHEEPDOG: Flaw = Flaw {
    details: "The \"sheepdog\" backend store driver has been removed, but current settings have it configured.",
    lines: &["The \"sheepdog\" backend store driver has been removed, but", "  current settings have it configured."],
};

const JSON_POLICY: Flaw = Flaw {
    details: "Your policy file is JSON-formatted which is deprecated. You need to switch to YAML-formatted file. Use the \
              ``oslopolicy-convert-json-to-yaml`` tool to convert the existing JSON-formatted files to YAML in a \
              backwards-compatible manner: \
              https://docs.openstack.org/oslo.policy/latest/cli/oslopolicy-convert-json-to-yaml.html.",
    lines: &[
        "Your policy file is JSON-formatted which is deprecated. You",
        "  need to switch to YAML-formatted file. Use the",
        "  ``oslopolicy-convert-json-to-yaml`` tool to convert the",
        "  existing JSON-formatted files to YAML in a backwards-",
        "  compatible manner: https://docs.openstack.org/oslo.policy/",
        "  latest/cli/oslopolicy-convert-json-to-yaml.html.",
    ],
};

const OWNER_IS_TENANT: Flaw = Flaw {
    details: "The \"owner_is_tenant\" option has been removed and there is no upgrade path for installations that had this \
              option set to False.",
    lines: &[
        "The \"owner_is_tenant\" option has been removed and there is",
        "  no upgrade path for installations that had this option set",
        "  to False.",
    ],
};

/// Does what the arguments of the process say.
///
/// Exit status: 0 all is well; 2 a check failed, or bad arguments; 255 the checks could not be made.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| {
        let line = Line::from_arg_matches(&matches)?;
        Ok((line.command, line.common.for_program(Program::Api, &matches)))
    });
    let (Category::Upgrade { json, .. }, arguments) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { DONE });
        }
    };
    let configuration = Partial::load(&Sources::of_process(arguments), &store::kinds());
    if !configuration.unread.is_empty() {
        for problem in &configuration.unread {
            let _ = writeln!(std::io::stderr(), "Error:\n{problem}");
        }
        return ExitCode::from(ERROR);
    }
    let results = checks(&configuration);
    say(if json { document(&results) } else { table(&results) });
    ExitCode::from(if results.iter().any(|(_, flaw)| flaw.is_some()) { FAILURE } else { DONE })
}

/// The command line, for manual pages and completions.
pub fn command() -> Command {
    Line::command()
}

type Results = [(&'static str, Option<Flaw>); 3];

fn checks(configuration: &Partial) -> Results {
    let text = |section: &str, option: &str| configuration.text(section, option).unwrap_or_default();
    let words =
        |text: &str, separators: &[char]| -> bool { text.split(separators).any(|word| word.trim() == "sheepdog") };
    let has_sheepdog =
        words(&text("DEFAULT", "enabled_backends"), &[',', ':']) || words(&text("glance_store", "stores"), &[',']);
    let policy = configuration.text("oslo_policy", "policy_file").unwrap_or_else(|| POLICY_FILE.to_owned());
    let is_json = configuration.find_file(&policy).is_some_and(|path| is_json(&path));
    let is_no = NO.contains(&text("DEFAULT", "owner_is_tenant").trim().to_lowercase().as_str());
    [
        ("Sheepdog Driver Removal", has_sheepdog.then_some(SHEEPDOG)),
        ("Policy File JSON to YAML Migration", is_json.then_some(JSON_POLICY)),
        ("Config option owner_is_tenant removal", is_no.then_some(OWNER_IS_TENANT)),
    ]
}

fn is_json(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok())
}

/// As prettytable draws it.
fn table(results: &Results) -> String {
    let cells = results.iter().map(|(name, flaw)| {
        let mut lines = vec![format!("Check: {name}")];
        match flaw {
            None => lines.extend(["Result: Success".to_owned(), "Details: None".to_owned()]),
            Some(flaw) => {
                lines.push("Result: Failure".to_owned());
                let details = flaw.lines.iter().enumerate();
                lines.extend(details.map(|(at, line)| format!("{}{line}", if at == 0 { "Details: " } else { "" })));
            }
        }
        lines
    });
    let cells: Vec<Vec<String>> = std::iter::once(vec![TITLE.to_owned()]).chain(cells).collect();
    let width = cells.iter().flatten().map(String::len).max().unwrap_or_default();
    let rule = format!("+{}+", "-".repeat(width + 2));
    let mut lines = vec![rule.clone()];
    for cell in cells {
        lines.extend(cell.iter().map(|line| format!("| {line:width$} |")));
        lines.push(rule.clone());
    }
    lines.join("\n")
}

fn document(results: &Results) -> String {
    let checks: Vec<_> = results
        .iter()
        .map(|(name, flaw)| {
            let result = if flaw.is_some() { FAILURE } else { DONE };
            json!({"check": name, "result": result, "details": flaw.as_ref().map(|flaw| flaw.details)})
        })
        .collect();
    let bytes = json::to_bytes(&json!({"name": TITLE, "checks": checks})).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Arguments;

    fn read(conf: &str, policy: &str) -> Results {
        let etc = tempfile::tempdir().unwrap();
        std::fs::create_dir(etc.path().join("glance")).unwrap();
        std::fs::write(etc.path().join("glance/glance-api.conf"), conf).unwrap();
        std::fs::write(etc.path().join("glance/policy.json"), policy).unwrap();
        let sources = Sources { arguments: Arguments::default(), environment: [].into(), etc: etc.path().to_owned() };
        checks(&Partial::load(&sources, &store::kinds()))
    }

    fn failed(results: &Results) -> Vec<bool> {
        results.iter().map(|(_, flaw)| flaw.is_some()).collect()
    }

    #[test]
    fn what_is_no_longer_possible_is_found() {
        assert_eq!(failed(&read("[DEFAULT]\ndebug = on\n", "{}")), [false, false, false]);
        let all = "[DEFAULT]\nenabled_backends = fast:file, slow:sheepdog\nowner_is_tenant = False\n\
                   [oslo_policy]\npolicy_file = policy.json\n";
        assert_eq!(failed(&read(all, "{\"a\": \"b\"}")), [true, true, true]);
        assert_eq!(failed(&read(all, "a: b")), [true, false, true]);
        assert_eq!(failed(&read("[glance_store]\nstores = file,sheepdog\n", "")), [true, false, false]);
    }

    #[test]
    fn the_table_is_prettytables() {
        let drawn = table(&read("[DEFAULT]\nowner_is_tenant = 0\n", ""));
        let expected = "\
+---------------------------------------------------------------------+
| Upgrade Check Results                                               |
+---------------------------------------------------------------------+
| Check: Sheepdog Driver Removal                                      |
| Result: Success                                                     |
| Details: None                                                       |
+---------------------------------------------------------------------+
| Check: Policy File JSON to YAML Migration                           |
| Result: Success                                                     |
| Details: None                                                       |
+---------------------------------------------------------------------+
| Check: Config option owner_is_tenant removal                        |
| Result: Failure                                                     |
| Details: The \"owner_is_tenant\" option has been removed and there is |
|   no upgrade path for installations that had this option set        |
|   to False.                                                         |
+---------------------------------------------------------------------+";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn the_document_is_pythons() {
        let text = document(&read("[glance_store]\nstores = sheepdog\n", ""));
        assert!(text.starts_with(
            "{\"name\": \"Upgrade Check Results\", \"checks\": [{\"check\": \"Sheepdog Driver Removal\", \"result\": 2, \"details\": \"The "
        ));
        assert!(text.ends_with("\"result\": 0, \"details\": null}]}"));
    }

    #[test]
    fn bad_usage_is_told_apart() {
        for line in [&["glance-status"][..], &["glance-status", "upgrade"], &["glance-status", "upgrade", "check", "x"]]
        {
            assert_eq!(command().try_get_matches_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
        command().debug_assert();
    }
}
