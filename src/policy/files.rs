//! Policy files: where they lie, whether they have changed, what they say (upstream: `oslo_policy/policy.py`, `load_rules`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_norway::Value;

use super::error::PolicyError;
use crate::config::{OsloPolicySection, ini};

/// One rule of a policy file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceRule {
    pub(super) name: String,
    pub(super) text: RuleText,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum RuleText {
    Text(String),
    List(Vec<Vec<String>>),
}

/// Far beyond any policy; it keeps a wrong path from filling the memory.
const MAX_SIZE: u64 = 16 << 20;

/// A file that changed so recently may change again without a new time stamp.
const TICK: Duration = Duration::from_millis(50);

/// The options' paths, made absolute with each directory that oslo.config would search.
#[derive(Debug)]
pub(super) struct SearchPaths {
    file: Vec<PathBuf>,
    dirs: Vec<Vec<PathBuf>>,
}

/// What a look at the file system found; equal to an earlier one when nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    file: Option<(PathBuf, Option<Stamp>)>,
    dirs: Vec<(PathBuf, Result<Listing, io::ErrorKind>)>,
}

type Listing = Vec<(PathBuf, Stamp)>;

/// Tells two versions of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl SearchPaths {
    pub(super) fn new(options: &OsloPolicySection, config_dirs: &[PathBuf]) -> Self {
        // `join` keeps an absolute path as it is.
        let within = |name: &String| config_dirs.iter().map(|dir| dir.join(name)).collect::<Vec<_>>();
        Self { file: within(&options.policy_file), dirs: options.policy_dirs.iter().map(within).collect() }
    }

    /// The files and directories that a look depends on.
    pub(super) fn watched(&self, earlier: Option<&Snapshot>) -> (Vec<&PathBuf>, Vec<&PathBuf>) {
        let known = earlier.and_then(Snapshot::file);
        let files = self.file.iter().filter(|path| known.is_none_or(|known| known == path.as_path()));
        (files.collect(), self.dirs.iter().flatten().collect())
    }

    /// Looks at the files without reading them: a few `stat` calls. A policy file once found is not searched for elsewhere.
    pub(super) fn look(&self, earlier: Option<&Snapshot>) -> Snapshot {
        let known = earlier.and_then(|earlier| earlier.file.as_ref()).map(|(path, _)| path);
        let file = match known {
            Some(path) => Some((path.clone(), stamp(path))),
            None => self.file.iter().find_map(|path| Some((path.clone(), Some(stamp(path)?)))),
        };
        let found = self.dirs.iter().filter_map(|paths| paths.iter().find(|path| stamp(path).is_some()));
        let dirs = found.map(|dir| (dir.clone(), list(dir).map_err(|error| error.kind()))).collect();
        Snapshot { file, dirs }
    }
}

impl Snapshot {
    /// Reads every file; the main one first, then each directory in the order of names.
    pub(super) fn read(&self) -> Result<Vec<SourceRule>, PolicyError> {
        let mut rules = Vec::new();
        if let Some((path, _)) = &self.file {
            rules.extend(read(path)?);
        }
        for (dir, files) in &self.dirs {
            let files = files.as_ref().map_err(|kind| match kind {
                io::ErrorKind::NotADirectory => PolicyError::Directory { path: dir.clone() },
                kind => PolicyError::Unreadable { path: dir.clone(), source: io::Error::from(*kind) },
            })?;
            for (path, _) in files {
                rules.extend(read(path)?);
            }
        }
        Ok(rules)
    }

    /// The path of the main policy file, if there ever was one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Whether a later change is sure to show in the stamps.
    pub(super) fn is_settled(&self) -> bool {
        self.stamps().all(|stamp| age(stamp).is_none_or(|age| age > TICK))
    }

    /// Whether a file looks as if its writer has emptied it and not yet filled it again.
    pub(super) fn is_half_written(&self) -> bool {
        self.stamps().any(|stamp| stamp.size == 0 && age(stamp).is_some_and(|age| age < Duration::from_secs(1)))
    }

    fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        let main = self.file.iter().filter_map(|(_, stamp)| stamp.as_ref());
        main.chain(self.dirs.iter().flat_map(|(_, files)| files.iter().flatten()).map(|(_, stamp)| stamp))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        size: metadata.size(),
        inode: metadata.ino(),
    })
}

/// `None` for a file from the future.
fn age(stamp: &Stamp) -> Option<Duration> {
    let (seconds, nanoseconds) = stamp.changed.max(stamp.modified);
    let changed = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH.checked_add(changed)?).ok()
}

/// The plain files of a directory that are not hidden, sorted by name.
fn list(dir: &Path) -> io::Result<Listing> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        // A link to a file counts as a file.
        if !hidden && !path.is_dir() {
            files.extend(stamp(&path).map(|stamp| (path, stamp)));
        }
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<SourceRule>, PolicyError> {
    let unreadable = |source| PolicyError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(PolicyError::Size { path: path.to_owned(), limit: MAX_SIZE });
    }
    let text = ini::text(bytes).map_err(unreadable)?;
    parse(text.trim_start_matches('\u{feff}')).map_err(|error| error.at(path))
}

/// What is wrong within a file.
enum BadFile {
    Syntax(serde_norway::Error),
    Value { rule: String, found: &'static str },
}

impl BadFile {
    fn at(self, path: &Path) -> PolicyError {
        let path = path.to_owned();
        match self {
            Self::Syntax(source) => PolicyError::Syntax { path, source },
            Self::Value { rule, found } => PolicyError::Value { path, rule, found },
        }
    }
}

/// Reads YAML, of which JSON is a part. A repeated name counts with its last value, as PyYAML has it.
fn parse(text: &str) -> Result<Vec<SourceRule>, BadFile> {
    let entries: Option<Entries> = serde_norway::from_str(text).map_err(BadFile::Syntax)?;
    let mut rules = Vec::new();
    for (key, value) in entries.into_iter().flat_map(|Entries(pairs)| pairs) {
        let name = match key {
            Value::String(name) => name,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            other => return Err(BadFile::Value { rule: "with a strange name".to_owned(), found: kind(&other) }),
        };
        let text = match value {
            Value::String(text) => RuleText::Text(text),
            Value::Null => RuleText::Text(String::new()),
            Value::Sequence(any) => match any.into_iter().map(words).collect() {
                Ok(list) => RuleText::List(list),
                Err(found) => return Err(BadFile::Value { rule: name, found }),
            },
            other => return Err(BadFile::Value { rule: name, found: kind(&other) }),
        };
        rules.push(SourceRule { name, text });
    }
    Ok(rules)
}

/// One member of a rule in the list form.
fn words(value: Value) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(word) if word.is_empty() => Ok(Vec::new()),
        Value::String(word) => Ok(vec![word]),
        Value::Sequence(all) => all
            .into_iter()
            .map(|word| match word {
                Value::String(word) => Ok(word),
                other => Err(kind(&other)),
            })
            .collect(),
        other => Err(kind(&other)),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        // `!` without quotes; upstream takes it for nothing, which allows everyone.
        Value::Tagged(_) => "a YAML tag (put the check in quotes)",
    }
}

/// The pairs of a mapping, repeated keys included, with merge keys (`<<`) resolved.
struct Entries(Vec<(Value, Value)>);

impl<'de> serde::Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> serde::de::Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a mapping of rule names to checks")
    }

    /// A file without content, or with comments alone.
    fn visit_unit<E>(self) -> Result<Entries, E> {
        Ok(Entries(Vec::new()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let (mut merged, mut own) = (Vec::new(), Vec::new());
        while let Some((key, value)) = map.next_entry::<Value, Value>()? {
            match value {
                Value::Mapping(mapping) if key == "<<" => merged.extend(mapping),
                value => own.push((key, value)),
            }
        }
        merged.extend(own);
        Ok(Entries(merged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<(String, RuleText)>> {
        let rules = parse(text).ok()?;
        Some(rules.into_iter().map(|rule| (rule.name, rule.text)).collect())
    }

    fn text(name: &str, text: &str) -> (String, RuleText) {
        (name.to_owned(), RuleText::Text(text.to_owned()))
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"a: role:b\n\n# \xfc\n").unwrap();
        let error = read(file.path()).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(": line 3: is not UTF-8 text"), "{error}");
    }

    #[test]
    fn yaml_and_json_are_read() {
        for (file, expected) in [
            ("", vec![]),
            ("# nothing\n", vec![]),
            ("{}", vec![]),
            ("a: role:admin or role:b\n'b': \"!\"\n", vec![text("a", "role:admin or role:b"), text("b", "!")]),
            (r#"{"a": "", "b": "rule:a"}"#, vec![text("a", ""), text("b", "rule:a")]),
            ("a:\n", vec![text("a", "")]),
            ("a: x:y\na: z:w\n", vec![text("a", "x:y"), text("a", "z:w")]),
            ("b: x:y\n<<: {a: z:w}\n", vec![text("a", "z:w"), text("b", "x:y")]),
            ("1: '@'", vec![text("1", "@")]),
        ] {
            assert_eq!(texts(file), Some(expected), "{file:?}");
        }
        let list =
            RuleText::List(vec![vec!["role:a".to_owned(), "role:b".to_owned()], vec!["role:c".to_owned()], vec![]]);
        assert_eq!(texts("a: [[role:a, role:b], role:c, []]"), Some(vec![("a".to_owned(), list)]));
    }

    #[test]
    fn other_things_are_refused() {
        for file in [
            "[a]",
            "text",
            "a: 1",
            "a: true",
            "a: {b: c}",
            "a: !",
            "a: [1]",
            "a: [[{b: c}]]",
            "a: @",
            "{",
            "a: b\n---\nc: d",
        ] {
            assert_eq!(texts(file), None, "{file:?}");
        }
    }
}
