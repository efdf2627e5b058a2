//! What can be read of a configuration that need not be right.

use std::path::PathBuf;

use super::embedded;
use super::ini::{self, Document};
use super::layers::{Layer, Merged};
use super::option::{Options as _, Section as _};
use super::problem::{Origin, Problem};
use super::reader::Reader;
use super::schema::Schema;
use super::sources::{self, Found, Sources};
use super::{DefaultSection, ServiceSection, StoreKind};

/// More lines than this that nobody can read, and it is no configuration file.
const MOST_BAD_LINES: usize = 100;

/// The two sections that say how a host runs the service, as far as they can be read.
///
/// For programs that must come to a result whatever the file looks like, and that have neither the service's credentials
/// nor its environment. The service itself is stricter: [`super::Config::load`].
#[derive(Debug)]
pub struct Partial {
    /// `[DEFAULT]`; an option whose value is not allowed has its default.
    pub default: DefaultSection,
    /// `[service]`
    pub service: ServiceSection,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// Files that cannot be read, and lines that are none of the dialect's.
    pub unread: Vec<Problem>,
    /// Where files named without a directory are looked for.
    search: Vec<PathBuf>,
    merged: Merged,
    set: Vec<(&'static str, String)>,
    rejected: Vec<(String, String, Problem)>,
}

impl Partial {
    /// Finds and reads the files, in which options of these kinds of stores may stand. Blocks.
    pub fn load(sources: &Sources, kinds: &[&'static StoreKind]) -> Self {
        let schema = Schema::new(kinds);
        let mut unread = Vec::new();
        let Found { files: paths, named, search } = sources.find().unwrap_or_else(|problems| {
            unread.extend(problems);
            Found { named: true, ..Found::default() }
        });
        let mut layers = Vec::new();
        if paths.is_empty()
            && !named
            && let Ok(state) = embedded::state_directory(sources)
        {
            layers.push(embedded::layer(&state, kinds));
        }
        let mut files = Vec::new();
        for path in paths {
            match std::fs::read(&path) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if let Err(source) = ini::decode(bytes) {
                        unread.push(Problem::Syntax { path: path.clone(), source });
                    }
                    let document = readable(&text, |source| {
                        unread.push(Problem::Syntax { path: path.clone(), source });
                    });
                    layers.push(Layer::file(&schema, &path, &document, &mut Vec::new()));
                    files.push(path);
                }
                Err(source) => unread.push(Problem::Unreadable { path, source }),
            }
        }
        let merged = Merged::of(layers).unwrap_or_else(|error| {
            unread.push(Problem::from(error));
            Merged::default()
        });
        let mut reader = Reader::new(&schema, &merged, None, Origin::from(Origin::DEFAULT));
        let default = DefaultSection::read(&mut reader.section(vec![DefaultSection::NAME.to_owned()]));
        let service = ServiceSection::read(&mut reader.section(vec![ServiceSection::NAME.to_owned()]));
        let of = |name: &str| [DefaultSection::NAME, ServiceSection::NAME].into_iter().find(|known| *known == name);
        let set = reader.origins.keys().filter_map(|(section, option)| Some((of(section)?, option.clone()))).collect();
        let rejected = reader.problems.into_iter().filter_map(|problem| match &problem {
            Problem::Value { section, option, .. } => Some((section.clone(), option.clone(), problem)),
            _ => None,
        });
        let rejected = rejected.collect();
        Self { default, service, files, unread, search, merged, set, rejected }
    }

    /// What is written for an option of any section, known or not; the last one of several. References stay as they are.
    pub fn text(&self, section: &str, option: &str) -> Option<String> {
        self.merged.texts(section, option)?.0.pop()
    }

    /// The file of this name, as [`super::Config::find_file`] finds it.
    pub fn find_file(&self, name: &str) -> Option<PathBuf> {
        sources::find_in(&self.search, name)
    }

    /// Whether a file, or the embedded default, gives the option a value, allowed or not.
    pub fn is_set(&self, section: &str, option: &str) -> bool {
        self.set.iter().any(|(known, name)| *known == section && name == option)
    }

    /// Why the value of the option is not allowed, if it is not.
    pub fn rejected(&self, section: &str, option: &str) -> Option<&Problem> {
        let mut known = self.rejected.iter();
        known.find(|(of, name, _)| of == section && name == option).map(|(_, _, problem)| problem)
    }
}

/// Reads all lines but those that cannot be read.
fn readable(text: &str, mut bad: impl FnMut(ini::SyntaxError)) -> Document {
    let mut lines: Vec<&str> = text.split('\n').collect();
    for _ in 0..MOST_BAD_LINES {
        match ini::parse(&lines.join("\n")) {
            Ok(document) => return document,
            Err(error) => {
                // A comment in its place: an empty line would end the value before it.
                let Some(line) = error.line.checked_sub(1).and_then(|at| lines.get_mut(at)) else { break };
                *line = "#";
                bad(error);
            }
        }
    }
    Document::default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Arguments;

    fn load(files: &[(&str, &str)]) -> Partial {
        let etc = tempfile::tempdir().unwrap();
        std::fs::create_dir(etc.path().join("glance")).unwrap();
        for (name, text) in files {
            std::fs::write(etc.path().join("glance").join(name), text).unwrap();
        }
        let environment = BTreeMap::from([("STATE_DIRECTORY".to_owned(), "/var/lib/glance".to_owned())]);
        let sources = Sources { arguments: Arguments::default(), environment, etc: etc.path().to_path_buf() };
        Partial::load(&sources, &[])
    }

    #[test]
    fn what_is_wrong_elsewhere_does_not_matter() {
        let text = "stray\n[DEFAULT]\nbind_host = 192.0.2.1\nno separator\nbind_port = 9393\ncert_file = credential:cert\n\
                    backlog = many\n[database]\nconnection = credential:database\n";
        let read = load(&[("glance-api.conf", text)]);
        assert_eq!((read.default.bind_host.as_str(), read.default.bind_port), ("192.0.2.1", 9393));
        assert_eq!(read.default.backlog, 4096);
        assert_eq!(read.unread.len(), 2, "{:?}", read.unread);
        let why = read.rejected("DEFAULT", "backlog").unwrap().to_string();
        assert!(why.contains("glance-api.conf:7") && why.contains("backlog = many"), "{why}");
        assert!(read.rejected("DEFAULT", "bind_port").is_none());
        assert!(read.is_set("DEFAULT", "bind_port") && !read.is_set("DEFAULT", "workers"));
    }

    #[test]
    fn without_a_file_it_is_the_embedded_default() {
        let read = load(&[]);
        assert_eq!(read.default.bind_host, "127.0.0.1");
        assert!(read.files.is_empty() && read.is_set("DEFAULT", "bind_host"));
    }

    #[test]
    fn values_refer_to_others() {
        let text = "[DEFAULT]\nbind_host = $pydev_worker_debug_host\npydev_worker_debug_host = ::1\n";
        assert_eq!(load(&[("glance-api.conf", text)]).default.bind_host, "::1");
    }

    #[test]
    fn a_file_of_something_else_gives_the_defaults() {
        let read = load(&[("glance-api.conf", &"?\n".repeat(5000))]);
        assert_eq!(read.default.bind_host, "0.0.0.0");
        assert_eq!(read.unread.len(), MOST_BAD_LINES);
    }
}
