//! What can be asked of `glance-cache-manage` (`parse_args` of `glance/cmd/cache_manage.py`).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};

use crate::config::{Arguments, Given, Program, Secret};

/// A simple cache management utility for Glance
///
/// Commands: help COMMAND, list-cached, list-queued, queue-image ID, delete-cached-image ID, delete-all-cached-images,
/// delete-queued-image ID, delete-all-queued-images.
#[derive(Debug, Parser)]
#[command(name = "glance-cache-manage", version, infer_long_args = true)]
#[command(after_help = "Exit status: 0; 1 the command failed; 2 bad arguments.")]
pub(super) struct Line {
    /// The command to execute, and the image that it is about
    #[arg(required_unless_present = "stats", num_args = 1..)]
    pub(super) command: Vec<String>,
    /// Print more verbose output
    #[arg(long, short = 'v')]
    pub(super) verbose: bool,
    /// Print the causes of errors
    #[arg(long, short = 'd')]
    pub(super) debug: bool,
    /// Address of Glance API host
    #[arg(long, short = 'H', value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub(super) host: String,
    /// Port the Glance API host listens on
    #[arg(long, short = 'p', value_name = "PORT", default_value = "9292")]
    pub(super) port: u16,
    /// Do not verify Keystone's certificate
    #[arg(long, short = 'k')]
    pub(super) insecure: bool,
    /// Prevent select actions from requesting user confirmation
    #[arg(long, short = 'f')]
    pub(super) force: bool,
    /// Show what the caches of this host's workers have done since they were first started; asks no service, and takes no command
    #[arg(long, conflicts_with = "command")]
    pub(super) stats: bool,
    /// With --stats: configuration file of the service; may be given several times
    #[arg(long, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// With --stats: directory whose *.conf files are read
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) account: Account,
}

/// Who asks. Each option defaults to the environment's variable of its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Authentication")]
pub(super) struct Account {
    /// Token; with it Keystone is not asked
    #[arg(long, short = 'A', aliases = ["os_auth_token", "auth_token"], value_name = "TOKEN")]
    os_auth_token: Option<Secret>,
    /// Name of the user
    #[arg(long, short = 'I', alias = "os_username", value_name = "NAME")]
    os_username: Option<String>,
    /// Password of the user
    #[arg(long, short = 'K', alias = "os_password", value_name = "PASSWORD")]
    os_password: Option<Secret>,
    /// Region; accepted, has no effect
    #[arg(long, short = 'R', alias = "os_region_name", value_name = "NAME")]
    os_region_name: Option<String>,
    /// Id of the project; accepted, has no effect
    #[arg(long, alias = "os_project_id", value_name = "ID")]
    os_project_id: Option<String>,
    /// Name of the project
    #[arg(long, short = 'T', alias = "os_project_name", value_name = "NAME")]
    os_project_name: Option<String>,
    /// Id of the user's domain
    #[arg(long, value_name = "ID")]
    os_user_domain_id: Option<String>,
    /// Id of the project's domain
    #[arg(long, value_name = "ID")]
    os_project_domain_id: Option<String>,
    /// Id of the user's domain, where none is named
    #[arg(long, value_name = "ID")]
    os_domain_id: Option<String>,
    /// Keystone; without it nobody is asked who they are
    #[arg(long, short = 'N', alias = "os_auth_url", value_name = "URL")]
    os_auth_url: Option<String>,
    /// keystone or noauth
    #[arg(long, short = 'S', alias = "os_auth_strategy", value_name = "STRATEGY")]
    os_auth_strategy: Option<String>,
}

/// The account as it results from options and environment. An empty text is as good as none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Credentials {
    pub(super) token: Option<Secret>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) project: Option<String>,
    pub(super) user_domain: String,
    pub(super) project_domain: String,
    /// With its version. None: [`Credentials::strategy`] decides.
    pub(super) auth_url: Option<String>,
    /// What is asked for where there is no URL.
    pub(super) strategy: Option<String>,
}

impl Line {
    /// # Errors
    /// Bad usage, and also `--help` and `--version`.
    pub(super) fn parse(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::command_line().try_get_matches_from(arguments)?)
    }

    pub(super) fn command_line() -> Command {
        Self::command()
    }

    /// Where the configuration of the service is.
    pub(super) fn configuration(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.program = Program::Cache;
        let (files, directories) = (self.config_file.iter().cloned(), self.config_dir.iter().cloned());
        arguments.given = files.map(Given::File).chain(directories.map(Given::Directory)).collect();
        arguments
    }
}

impl Account {
    /// `variable` gives what the environment has under a name.
    ///
    /// Upstream's tool asks for a password even where `OS_AUTH_URL` is not set, as it appends `/v3` to nothing; here the strategy is
    /// `noauth` then, unless another one is named.
    pub(super) fn credentials(&self, variable: impl Fn(&str) -> Option<String>) -> Credentials {
        let set = |name: &str| variable(name).filter(|text| !text.is_empty());
        let given = |option: &Option<String>, names: &[&str]| {
            option.clone().filter(|text| !text.is_empty()).or_else(|| names.iter().find_map(|name| set(name)))
        };
        let secret = |option: &Option<Secret>, names: &[&str]| {
            let option = option.clone().filter(|secret| !secret.expose().is_empty());
            option.or_else(|| names.iter().find_map(|name| set(name)).map(|text| Secret::from(text.as_str())))
        };
        let default = || "default".to_owned();
        let version = set("OS_IDENTITY_API_VERSION").unwrap_or_else(|| "3".to_owned());
        let auth_url = given(&self.os_auth_url, &["OS_AUTH_URL"]).map(|url| versioned(url, &version));
        Credentials {
            token: secret(&self.os_auth_token, &["OS_AUTH_TOKEN", "OS_TOKEN"]),
            username: given(&self.os_username, &["OS_USERNAME", "OS_AUTH_USER"]),
            password: secret(&self.os_password, &["OS_PASSWORD", "OS_AUTH_KEY"]),
            project: given(&self.os_project_name, &["OS_PROJECT_NAME", "OS_AUTH_PROJECT"]),
            user_domain: given(&self.os_user_domain_id, &["OS_USER_DOMAIN_ID"])
                .or_else(|| given(&self.os_domain_id, &["OS_DOMAIN_ID"]))
                .unwrap_or_else(default),
            project_domain: given(&self.os_project_domain_id, &["OS_PROJECT_DOMAIN_ID"]).unwrap_or_else(default),
            auth_url,
            strategy: given(&self.os_auth_strategy, &["OS_AUTH_STRATEGY"]),
        }
    }
}

/// The URL of Keystone with the version of its API, if it is one that we know.
fn versioned(url: String, version: &str) -> String {
    match version {
        "3" if !url.contains("/v3") => url + "/v3",
        "2" if !url.contains("/v2") => url + "/v2.0",
        _ => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::parse(std::iter::once("glance-cache-manage").chain(line.split_whitespace()).map(OsString::from).collect())
    }

    #[test]
    fn the_command_is_sound() {
        Line::command_line().debug_assert();
    }

    #[test]
    fn options_stand_where_they_like_and_may_be_short() {
        let line = parse("-v queue-image i -f -H glance -p 80 -k").unwrap();
        assert_eq!(line.command, ["queue-image", "i"]);
        assert!(line.verbose && line.force && line.insecure && !line.debug && !line.stats);
        assert_eq!((line.host.as_str(), line.port), ("glance", 80));
        let line = parse("list-cached").unwrap();
        assert_eq!((line.host.as_str(), line.port), ("0.0.0.0", 9292));
        for line in ["", "--stats list-cached", "list-cached --port x", "list-cached --nonsense"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let line = parse("--stats --config-dir d --config-file f").unwrap();
        assert_eq!(line.configuration().given, [Given::File("f".into()), Given::Directory("d".into())]);
    }

    #[test]
    fn options_go_over_the_environment() {
        let variables = |name: &str| {
            let value = match name {
                "OS_USERNAME" => "admin",
                "OS_AUTH_KEY" => "key",
                "OS_PROJECT_NAME" | "OS_AUTH_PROJECT" => "p",
                "OS_AUTH_URL" => "http://k",
                "OS_USER_DOMAIN_ID" => "",
                "OS_DOMAIN_ID" => "d",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let found = parse("-I me --os-project-domain-id x list-cached").unwrap().account.credentials(variables);
        let expected = Credentials {
            username: Some("me".to_owned()),
            password: Some("key".into()),
            project: Some("p".to_owned()),
            user_domain: "d".to_owned(),
            project_domain: "x".to_owned(),
            auth_url: Some("http://k/v3".to_owned()),
            ..Credentials::default()
        };
        assert_eq!(found, expected);
        let found = parse("-A t -S noauth list-cached").unwrap().account.credentials(|_| None);
        assert_eq!((found.auth_url, found.strategy.as_deref()), (None, Some("noauth")));
        assert_eq!((found.token.unwrap().expose(), found.user_domain.as_str()), ("t", "default"));
    }

    #[test]
    fn keystone_is_asked_in_a_version() {
        for (url, version, expected) in [
            ("http://k:5000", "3", "http://k:5000/v3"),
            ("http://k/v3/", "3", "http://k/v3/"),
            ("http://k", "2", "http://k/v2.0"),
            ("http://k", "x", "http://k"),
        ] {
            assert_eq!(versioned(url.to_owned(), version), expected);
        }
    }
}
