//! The outputs that records are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::Level;

use super::error::LogError;
use super::journal::Journal;
use super::json;
use super::levels::Levels;
use super::record::{Record, severity};
use super::syslog::Syslog;
use super::text::TextFormat;
use crate::config::DefaultSection;
use crate::service::environment::Environment;

/// All outputs that the configuration names.
#[derive(Debug)]
pub(super) struct Sinks {
    outputs: Vec<Output>,
    format: Format,
}

#[derive(Debug)]
enum Output {
    Journal(Journal),
    File(LogFile),
    StandardError(StandardError),
    Syslog(Syslog),
}

/// Lines that go to standard error together, before the next pause or when they are many.
#[derive(Debug)]
struct StandardError {
    decoration: Decoration,
    lines: Vec<u8>,
}

/// What stands before a line on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoration {
    None,
    /// The level in colour.
    Colour,
    /// `<6>`: the journal reads standard error and takes the priority from there.
    Priority,
}

#[derive(Debug)]
enum Format {
    Text(TextFormat),
    Json { date: String, host: String },
}

impl Sinks {
    /// Opens files and the journal.
    ///
    /// # Errors
    /// A file that cannot be written. Without a journal, standard error takes its output.
    pub(super) fn open(
        options: &DefaultSection,
        environment: &Environment,
        levels: &Arc<ArcSwap<Levels>>,
    ) -> Result<Self, LogError> {
        let mut outputs = Vec::new();
        let file = path(options);
        if let Some(path) = &file {
            let opened = LogFile::open(path.clone()).map_err(|source| unwritable(options, path, source))?;
            outputs.push(Output::File(opened));
        }
        // Where nothing is asked for, whatever the service manager made of standard error.
        let nothing = file.is_none() && !options.use_stderr && !options.use_journal;
        if options.use_journal || (nothing && environment.journal) {
            outputs.push(match Journal::open(levels) {
                Ok(journal) => Output::Journal(journal),
                Err(_) => Output::StandardError(StandardError::new(options, environment)),
            });
        }
        if options.use_stderr || (nothing && !environment.journal) {
            outputs.push(Output::StandardError(StandardError::new(options, environment)));
        }
        if options.use_syslog {
            outputs.push(Output::Syslog(Syslog::new(&options.syslog_log_facility)?));
        }
        let format = if options.use_json {
            let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Format::Json { date: options.log_date_format.clone(), host }
        } else {
            Format::Text(TextFormat::new(options))
        };
        Ok(Self { outputs, format })
    }

    /// What [`Self::open`] would say of a file that is not to be made, and of names.
    ///
    /// # Errors
    /// A file that could not be written.
    pub(super) fn check_options(options: &DefaultSection) -> Result<(), LogError> {
        if options.use_syslog {
            Syslog::new(&options.syslog_log_facility)?;
        }
        let Some(path) = path(options) else { return Ok(()) };
        let opened = OpenOptions::new().append(true).open(&path).map(drop).or_else(|error| {
            let directory =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            let may_be_made = error.kind() == io::ErrorKind::NotFound && directory.is_dir();
            if may_be_made { Ok(()) } else { Err(error) }
        });
        opened.map_err(|source| unwritable(options, &path, source))
    }

    pub(super) fn reaches_standard_error(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::StandardError(_)))
    }

    /// Before records come after a pause: files that were moved away are opened again.
    pub(super) fn check(&mut self) {
        for output in &mut self.outputs {
            if let Output::File(file) = output {
                file.check();
            }
        }
    }

    /// Writes a record everywhere. An output that fails is left out: there is nowhere to say so.
    pub(super) fn write(&mut self, record: &Record) {
        let format = &self.format;
        let mut formatted = None;
        for output in &mut self.outputs {
            if let Output::Journal(journal) = output {
                journal.write(record);
                continue;
            }
            let line = formatted.get_or_insert_with(|| match format {
                Format::Text(format) => format.line(record),
                Format::Json { date, host } => json::line(record, date, host),
            });
            match output {
                Output::File(file) => file.write(line),
                Output::StandardError(error) => error.write(*record.metadata.level(), line),
                Output::Syslog(syslog) => syslog.write(record, line),
                Output::Journal(_) => {}
            }
        }
    }

    /// After the last record before a pause.
    pub(super) fn flush(&mut self) {
        for output in &mut self.outputs {
            match output {
                Output::File(file) => drop(file.writer.flush()),
                Output::StandardError(error) => error.flush(),
                Output::Journal(_) | Output::Syslog(_) => {}
            }
        }
    }
}

/// `log_file`, relative to `log_dir`; of a directory alone, the program's name in it.
fn path(options: &DefaultSection) -> Option<PathBuf> {
    match (&options.log_dir, &options.log_file) {
        (None, None) => None,
        (None, Some(file)) => Some(PathBuf::from(file)),
        (Some(directory), Some(file)) => Some(Path::new(directory).join(file)),
        (Some(directory), None) => Some(Path::new(directory).join("glance-api.log")),
    }
}

fn unwritable(options: &DefaultSection, path: &Path, source: io::Error) -> LogError {
    let option = if options.log_file.is_some() { "log_file" } else { "log_dir" };
    LogError::File { option, path: path.to_owned(), source }
}

impl StandardError {
    /// Bytes that are written without waiting for the pause.
    const MANY: usize = 16 * 1024;

    fn new(options: &DefaultSection, environment: &Environment) -> Self {
        let decoration = if environment.journal {
            Decoration::Priority
        } else if options.log_color && !options.use_json && io::stderr().is_terminal() {
            Decoration::Colour
        } else {
            Decoration::None
        };
        Self { decoration, lines: Vec::new() }
    }

    fn write(&mut self, level: Level, line: &str) {
        let _ = match self.decoration {
            Decoration::None => writeln!(self.lines, "{line}"),
            Decoration::Priority => writeln!(self.lines, "<{}>{line}", severity(level)),
            Decoration::Colour => {
                let colour = match level {
                    Level::ERROR => "1;31",
                    Level::WARN => "33",
                    Level::INFO => "0",
                    Level::DEBUG | Level::TRACE => "2",
                };
                writeln!(self.lines, "\u{1b}[{colour}m{line}\u{1b}[0m")
            }
        };
        if self.lines.len() >= Self::MANY {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let _ = io::stderr().write_all(&self.lines);
        self.lines.clear();
    }
}

/// A file that may be moved away by others, as by logrotate.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    writer: BufWriter<File>,
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self { path, writer: BufWriter::new(file), identity: (metadata.dev(), metadata.ino()) })
    }

    fn check(&mut self) {
        let here = std::fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if !here && let Ok(new) = Self::open(self.path.clone()) {
            let _ = self.writer.flush();
            *self = new;
        }
    }

    fn write(&mut self, line: &str) {
        let _ = writeln!(self.writer, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::record;
    use super::*;

    fn options(directory: &Path) -> DefaultSection {
        DefaultSection { log_dir: Some(directory.display().to_string()), ..DefaultSection::default() }
    }

    fn sinks(options: &DefaultSection) -> Result<Sinks, LogError> {
        let levels = Arc::new(ArcSwap::from_pointee(Levels::new(options).unwrap()));
        Sinks::open(options, &Environment::default(), &levels)
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("glance-api.log");
        let mut sinks = sinks(&options(directory.path())).unwrap();
        sinks.write(&record(|| tracing::info!("first")));
        sinks.flush();
        std::fs::rename(&path, directory.path().join("old")).unwrap();
        sinks.check();
        sinks.write(&record(|| tracing::info!("second")));
        sinks.flush();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(read("old").ends_with("first\n") && !read("old").contains("second"));
        assert!(read("glance-api.log").ends_with("second\n"));
    }

    #[test]
    fn lines_on_standard_error_are_written_together() {
        let mut error =
            StandardError::new(&DefaultSection::default(), &Environment { journal: true, ..Environment::default() });
        error.write(Level::WARN, "first");
        error.write(Level::INFO, "second");
        assert_eq!(error.lines, b"<4>first\n<6>second\n");
        error.flush();
        assert!(error.lines.is_empty());
    }

    #[test]
    fn places_follow_the_options() {
        let directory = tempfile::tempdir().unwrap();
        let with_file = options(directory.path());
        assert!(!sinks(&with_file).unwrap().reaches_standard_error());
        assert!(sinks(&DefaultSection { use_stderr: true, ..with_file }).unwrap().reaches_standard_error());
        assert!(sinks(&DefaultSection::default()).unwrap().reaches_standard_error());
        let wrong = DefaultSection { log_file: Some("/nowhere/at/all.log".to_owned()), ..DefaultSection::default() };
        assert!(sinks(&wrong).unwrap_err().to_string().contains("/nowhere/at/all.log"));
    }

    #[test]
    fn a_check_makes_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let with = |log_file: &str| DefaultSection { log_file: Some(log_file.to_owned()), ..options(directory.path()) };
        Sinks::check_options(&with("new.log")).unwrap();
        assert!(!directory.path().join("new.log").try_exists().unwrap());
        let error = Sinks::check_options(&with("none/new.log")).unwrap_err().to_string();
        assert!(error.starts_with("[DEFAULT] log_file: ") && error.contains("none/new.log"), "{error}");
        let moon = DefaultSection { use_syslog: true, syslog_log_facility: "moon".to_owned(), ..with("new.log") };
        assert!(Sinks::check_options(&moon).unwrap_err().to_string().contains("moon"));
    }

    #[test]
    fn a_file_name_is_relative_to_the_directory() {
        let options = |directory: Option<&str>, file: Option<&str>| DefaultSection {
            log_dir: directory.map(str::to_owned),
            log_file: file.map(str::to_owned),
            ..DefaultSection::default()
        };
        assert_eq!(path(&options(None, None)), None);
        assert_eq!(path(&options(Some("/d"), Some("f"))), Some("/d/f".into()));
        assert_eq!(path(&options(Some("/d"), Some("/e/f"))), Some("/e/f".into()));
        assert_eq!(path(&options(Some("/d"), None)), Some("/d/glance-api.log".into()));
    }
}
