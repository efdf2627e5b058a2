//! my.cnf: options of MySQL's clients in groups, as PyMySQL (`pymysql/optionfile.py`) and the C libraries (MySQL's manual,
//! "Using Option Files") read them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::config::FileStates;
use crate::db::error::DbError;

/// Files that include each other end here, as those of the C libraries do.
const MOST_INCLUDES: usize = 10;
/// More is no file of options.
const LARGEST: u64 = 1 << 20;
/// Where a group is looked for that comes without a file.
const USUAL_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];

/// Who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// PyMySQL: one group, values to the end of the line.
    Python,
    /// mysqlclient and MariaDB's connector: the clients' groups as well, comments behind values, escapes.
    C,
}

/// The options of some groups; of those with the same name the last counts.
#[derive(Default)]
pub(super) struct OptionFile {
    values: HashMap<String, Option<String>>,
    /// All that were read, and the directories that name some.
    files: FileStates,
}

impl OptionFile {
    /// Reads `file`, or the usual ones if only a group is given. A file that is named must be there: what it says about TLS
    /// must not be lost.
    ///
    /// # Errors
    /// A file that cannot be read. Its contents are not quoted.
    pub(super) fn read(file: Option<&str>, group: Option<&str>, reader: Reader) -> Result<Self, DbError> {
        let groups: Vec<&str> = match (reader, group) {
            (Reader::Python, group) => vec![group.unwrap_or("client")],
            (Reader::C, group) => ["client", "client-server", "client-mariadb"].into_iter().chain(group).collect(),
        };
        let mut found = Self::default();
        match file {
            Some(file) => found.add(&at_home(file), &groups, reader, 0)?,
            None => {
                let usual = USUAL_FILES.iter().take(if reader == Reader::Python { 1 } else { 2 }).map(PathBuf::from);
                let own = (reader == Reader::C).then(|| at_home("~/.my.cnf"));
                for path in usual.chain(own) {
                    if super::files::is_there(&path) {
                        found.add(&path, &groups, reader, 0)?;
                    } else {
                        found.files.note(&path);
                    }
                }
            }
        }
        Ok(found)
    }

    /// A value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_deref().filter(|value| !value.is_empty())
    }

    /// Whether a switch is on: it stands alone, or with a value that says so. `skip-NAME` turns it off.
    ///
    /// # Errors
    /// Its value is neither true nor false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, DbError> {
        if self.values.contains_key(&format!("skip-{name}")) {
            return Ok(Some(false));
        }
        match self.values.get(name) {
            None => Ok(None),
            Some(None) => Ok(Some(true)),
            Some(Some(value)) => super::url::flag(name, value).map(Some),
        }
    }

    /// The names that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The files that it comes from.
    pub(super) fn into_files(self) -> FileStates {
        self.files
    }

    fn add(&mut self, path: &Path, groups: &[&str], reader: Reader, depth: usize) -> Result<(), DbError> {
        let wrong = |reason: &dyn std::fmt::Display| {
            DbError::Url(format!("the option file {} cannot be read: {reason}", path.display()))
        };
        if depth > MOST_INCLUDES {
            return Err(wrong(&"too many files include each other"));
        }
        self.files.note(path);
        let size = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
        if size > LARGEST {
            return Err(wrong(&"it is too large"));
        }
        let text = std::fs::read(path).map_err(|error| wrong(&error))?;
        let text = String::from_utf8_lossy(&text);
        let mut is_wanted = false;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(group) = line.strip_prefix('[').and_then(|line| line.split_once(']')).map(|(group, _)| group) {
                is_wanted = groups.contains(&group.trim());
            } else if let Some(include) = line.strip_prefix('!') {
                for path in self.included(include).map_err(|reason| wrong(&reason))? {
                    self.add(&path, groups, reader, depth + 1)?;
                }
            } else if is_wanted {
                let (name, value) = match line.split_once('=') {
                    Some((name, value)) => (name, Some(value_of(value.trim(), reader))),
                    None => (line, None),
                };
                self.values.insert(name.trim().to_ascii_lowercase().replace('_', "-"), value);
            }
        }
        Ok(())
    }

    /// The files that `!include FILE` or `!includedir DIRECTORY` means.
    fn included(&mut self, line: &str) -> Result<Vec<PathBuf>, String> {
        if let Some(folder) = line.strip_prefix("includedir") {
            let folder = folder.trim();
            self.files.note(Path::new(folder));
            let entries = std::fs::read_dir(folder).map_err(|error| format!("!includedir {folder}: {error}"))?;
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.retain(|path| path.extension().is_some_and(|end| end == "cnf"));
            files.sort();
            return Ok(files);
        }
        match line.strip_prefix("include") {
            Some(file) => Ok(vec![PathBuf::from(file.trim())]),
            None => Err("a line with an exclamation mark is no !include and no !includedir".to_owned()),
        }
    }
}

/// A value without its quotes.
fn value_of(text: &str, reader: Reader) -> String {
    let quote = text.chars().next().filter(|sign| matches!(sign, '"' | '\''));
    let inner = |text: &str, quote: char| text.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned);
    if reader == Reader::Python {
        return quote.and_then(|quote| inner(text, quote)).unwrap_or_else(|| text.to_owned());
    }
    let text = match quote.and_then(|quote| Some((quote, text[1..].find(quote)?))) {
        Some((_, end)) => &text[1..=end],
        None => text.split('#').next().unwrap_or_default().trim_end(),
    };
    let mut value = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match (sign, if sign == '\\' { signs.next() } else { None }) {
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some('t')) => value.push('\t'),
            ('\\', Some('r')) => value.push('\r'),
            ('\\', Some('b')) => value.push('\u{8}'),
            ('\\', Some('s')) => value.push(' '),
            ('\\', Some(same @ ('\\' | '"' | '\''))) => value.push(same),
            ('\\', Some(other)) => value.extend(['\\', other]),
            (sign, _) => value.push(sign),
        }
    }
    value
}

/// `~` is the home of the user who runs this program.
pub(super) fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("HERE", &folder.path().display().to_string())).unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir, group: Option<&str>, reader: Reader) -> Result<OptionFile, DbError> {
        OptionFile::read(Some(&folder.path().join("my.cnf").display().to_string()), group, reader)
    }

    #[test]
    fn groups_and_values_are_those_of_the_driver() {
        let text = "# comment\n[mysqld]\nuser=daemon\n[client]\nuser = 'glance'\nSSL_CA=/a.pem # mine\npassword=\"a#\\\\b\"\n\
                    ssl\n[glance]\nuser=other\n; end\n";
        let files = folder(&[("my.cnf", text)]);
        let python = read(&files, None, Reader::Python).unwrap();
        assert_eq!(python.get("user"), Some("glance"));
        assert_eq!((python.get("ssl-ca"), python.get("password")), (Some("/a.pem # mine"), Some(r"a#\\b")));
        assert_eq!(python.flag("ssl").unwrap(), Some(true));
        let own = read(&files, Some("glance"), Reader::Python).unwrap();
        assert_eq!((own.get("user"), own.get("ssl-ca")), (Some("other"), None));
        let c = read(&files, Some("glance"), Reader::C).unwrap();
        assert_eq!((c.get("user"), c.get("ssl-ca"), c.get("password")), (Some("other"), Some("/a.pem"), Some(r"a#\b")));
        let mut names: Vec<&str> = c.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["password", "ssl", "ssl-ca", "user"]);
    }

    #[test]
    fn switches_stand_alone_or_with_a_value() {
        for (line, expected) in [
            ("ssl", Some(true)),
            ("ssl=1", Some(true)),
            ("ssl = OFF", Some(false)),
            ("skip-ssl", Some(false)),
            ("x", None),
        ] {
            let files = folder(&[("my.cnf", &format!("[client]\n{line}\n"))]);
            assert_eq!(read(&files, None, Reader::C).unwrap().flag("ssl").unwrap(), expected, "{line}");
        }
        let files = folder(&[("my.cnf", "[client]\nssl=perhaps\n")]);
        assert!(read(&files, None, Reader::C).unwrap().flag("ssl").is_err());
    }

    #[test]
    fn files_include_others_and_the_last_value_counts() {
        let files = folder(&[
            ("my.cnf", "!include HERE/one\n[client]\nuser=me\n!includedir HERE/conf.d\n"),
            ("one", "[client]\nhost=db\nuser=one\n"),
            ("conf.d/b.cnf", "[client]\nport=2\n"),
            ("conf.d/a.cnf", "[client]\nport=1\nuser=a\n"),
            ("conf.d/ignored.txt", "[client]\nport=3\n"),
        ]);
        let found = read(&files, None, Reader::Python).unwrap();
        assert_eq!((found.get("host"), found.get("user"), found.get("port")), (Some("db"), Some("a"), Some("2")));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_quotes_nothing() {
        let missing = OptionFile::read(Some("/nowhere/my.cnf"), None, Reader::Python).err().unwrap().to_string();
        assert!(missing.contains("/nowhere/my.cnf cannot be read"), "{missing}");
        for text in ["!include HERE/my.cnf", "!includedir /nowhere", "!s3cret"] {
            let error = read(&folder(&[("my.cnf", text)]), None, Reader::C).err().unwrap().to_string();
            assert!(error.contains("cannot be read") && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
