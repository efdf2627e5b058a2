//! The arguments that all programs have, oslo.config's and oslo.log's, and those of `glance-api`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser};

/// Whose configuration is read: the default files are named after the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// `glance-api`, and whoever looks at its configuration.
    #[default]
    Api,
    /// `glance-manage`: the files of `glance-api`, then its own (`main` of `glance/cmd/manage.py`).
    Manage,
    /// The tools of the image cache: the files of `glance-api`, then `glance-cache.conf` (`parse_cache_args` of
    /// `glance/common/config.py`).
    Cache,
}

impl Program {
    /// What the files are called that it reads after those of `glance-api`.
    pub(super) fn own_files(self) -> Option<&'static str> {
        match self {
            Self::Api => None,
            Self::Manage => Some("glance-manage"),
            Self::Cache => Some("glance-cache"),
        }
    }
}

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Which default files are looked for.
    pub program: Program,
    /// Files and directories of the configuration, in their order on the command line: later ones win.
    pub given: Vec<Given>,
    /// Check the configuration, show it, and end.
    pub check_config: bool,
    /// Make further indexes in the database, and end.
    pub create_indexes: bool,
    /// Options that go over all files: section, option, text.
    pub(super) settings: Vec<(&'static str, &'static str, String)>,
}

/// A place of configuration named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// `--config-file`
    File(PathBuf),
    /// `--config-dir`: its `*.conf`, sorted by name.
    Directory(PathBuf),
}

/// The Image service of OpenStack: registers, stores and serves virtual machine images.
#[derive(Debug, Parser)]
#[command(name = "glance-api", version, after_help = "Exit status: 64 for bad arguments, 78 for a bad configuration.")]
struct CommandLine {
    #[command(flatten)]
    common: CommonArguments,
    /// Check configuration and tables of the database, print what would be in force and where it comes from, and end
    #[arg(long)]
    check_config: bool,
    /// Make indexes in the database (PostgreSQL, MySQL, MariaDB) that keep lists fast with many images, and end
    #[arg(long, conflicts_with = "check_config")]
    create_indexes: bool,
}

/// The options that every program of the project takes, as upstream's do.
#[derive(Debug, clap::Args)]
pub struct CommonArguments {
    /// Configuration file; may be given several times, later ones win
    #[arg(long, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// Directory whose *.conf files are read; may be given several times
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
struct Logging {
    /// Log at DEBUG instead of INFO
    #[arg(long, short = 'd', overrides_with = "nodebug")]
    debug: bool,
    /// The inverse of --debug
    #[arg(long, overrides_with = "debug")]
    nodebug: bool,
    /// Log to this file
    #[arg(long, alias = "logfile", value_name = "PATH")]
    log_file: Option<String>,
    /// Directory for a relative --log-file
    #[arg(long, alias = "logdir", value_name = "DIR")]
    log_dir: Option<String>,
    /// Python logging configuration; accepted, has no effect
    #[arg(long, alias = "log-config", value_name = "PATH")]
    log_config_append: Option<String>,
    /// Format of times in the log
    #[arg(long, value_name = "DATE_FORMAT")]
    log_date_format: Option<String>,
    /// Log to the journal
    #[arg(long, overrides_with = "nouse_journal")]
    use_journal: bool,
    /// The inverse of --use-journal
    #[arg(long, overrides_with = "use_journal")]
    nouse_journal: bool,
    /// Log JSON
    #[arg(long, overrides_with = "nouse_json")]
    use_json: bool,
    /// The inverse of --use-json
    #[arg(long, overrides_with = "use_json")]
    nouse_json: bool,
    /// Log to syslog
    #[arg(long, overrides_with = "nouse_syslog")]
    use_syslog: bool,
    /// The inverse of --use-syslog
    #[arg(long, overrides_with = "use_syslog")]
    nouse_syslog: bool,
    /// Facility for syslog
    #[arg(long, value_name = "FACILITY")]
    syslog_log_facility: Option<String>,
}

impl Arguments {
    /// Reads the arguments; the first one is the program's name.
    ///
    /// # Errors
    ///
    /// Bad usage, and also `--help` and `--version`: `clap::Error::print` says what, `use_stderr` which.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = CommandLine::command().try_get_matches_from(arguments)?;
        let line = CommandLine::from_arg_matches(&matches)?;
        Ok(Self {
            check_config: line.check_config,
            create_indexes: line.create_indexes,
            ..line.common.for_program(Program::Api, &matches)
        })
    }

    /// The command, for manual pages and completions.
    pub fn command() -> Command {
        CommandLine::command()
    }
}

impl CommonArguments {
    /// What they say of the configuration of a program. `matches` are those that `self` was taken from: they know in which
    /// order files and directories were given.
    pub fn for_program(self, program: Program, matches: &ArgMatches) -> Arguments {
        let indices = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let (files, directories) = (indices("config_file"), indices("config_dir"));
        let files = files.into_iter().zip(self.config_file.into_iter().map(Given::File));
        let directories = directories.into_iter().zip(self.config_dir.into_iter().map(Given::Directory));
        let mut given: Vec<_> = files.chain(directories).collect();
        given.sort_by_key(|(index, _)| *index);
        Arguments {
            program,
            given: given.into_iter().map(|(_, given)| given).collect(),
            settings: self.logging.settings(),
            ..Arguments::default()
        }
    }
}

impl Logging {
    fn settings(self) -> Vec<(&'static str, &'static str, String)> {
        let flag = |on: bool, off: bool| on.then_some("true").or_else(|| off.then_some("false")).map(str::to_owned);
        [
            ("debug", flag(self.debug, self.nodebug)),
            ("log_file", self.log_file),
            ("log_dir", self.log_dir),
            ("log_config_append", self.log_config_append),
            ("log_date_format", self.log_date_format),
            ("use_journal", flag(self.use_journal, self.nouse_journal)),
            ("use_json", flag(self.use_json, self.nouse_json)),
            ("use_syslog", flag(self.use_syslog, self.nouse_syslog)),
            ("syslog_log_facility", self.syslog_log_facility),
        ]
        .into_iter()
        .filter_map(|(option, value)| value.map(|value| ("DEFAULT", option, value)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::parse(std::iter::once("glance-api").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn files_and_directories_keep_their_order() {
        let arguments = parse("--config-dir d1 --config-file=a --config-file b --config-dir d2").unwrap();
        let expected = [
            Given::Directory("d1".into()),
            Given::File("a".into()),
            Given::File("b".into()),
            Given::Directory("d2".into()),
        ];
        assert_eq!(arguments.given, expected);
    }

    #[test]
    fn of_a_flag_and_its_inverse_the_last_counts() {
        let cases = [
            ("", vec![]),
            ("-d", vec![("DEFAULT", "debug", "true".to_owned())]),
            ("--debug --nodebug", vec![("DEFAULT", "debug", "false".to_owned())]),
            ("--nodebug -d", vec![("DEFAULT", "debug", "true".to_owned())]),
            ("--logfile x", vec![("DEFAULT", "log_file", "x".to_owned())]),
        ];
        for (line, settings) in cases {
            assert_eq!(parse(line).unwrap().settings, settings, "{line}");
        }
    }

    #[test]
    fn bad_usage_goes_to_standard_error_and_help_does_not() {
        for line in ["--nonsense", "extra", "--config-file"] {
            assert!(parse(line).unwrap_err().use_stderr(), "{line}");
        }
        for line in ["--help", "--version"] {
            assert!(!parse(line).unwrap_err().use_stderr(), "{line}");
        }
    }

    #[test]
    fn the_command_is_sound() {
        CommandLine::command().debug_assert();
    }
}
