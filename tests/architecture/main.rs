//! The shape of the source tree, as `src/lib.rs` tells it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod circles;
mod drivers;
mod paths;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use glance_api::image::{Column, Image};

/// The rooms from the top down. A room may use those of later lines; rooms of one line do not know each other.
const ORDER: [&[&str]; 12] = [
    &["service", "generator", "manage"],
    &["http"],
    &["api"],
    &["policy", "task", "metadef"],
    &["cache"],
    &["image"],
    &["notifications", "ingest"],
    &["db", "store", "inspect", "keys"],
    &["identity"],
    &["keystone", "schema"],
    &["config"],
    &["sys"],
];

/// Longer than this, a file does more than one thing. Tests may be longer.
const LINES: usize = 450;
const LINES_OF_TESTS: usize = 600;

/// Where the columns of an image are listed: as rows have them, as the domain has them, and as two texts of upstream's, which have an
/// order of their own: the schema of the document, and the table that old revisions make anew.
const COLUMN_LISTS: [&str; 4] =
    ["db/model.rs", "image/model.rs", "image/schema/base.rs", "db/migrations/statements/images.rs"];
/// Columns whose names are words that anything may have.
const COMMON_COLUMNS: [Column; 5] = [Column::Id, Column::Name, Column::Status, Column::Owner, Column::Size];
/// Other columns that a file may name without listing them: those that the end of an upload brings.
const COLUMNS: usize = 6;

struct Source {
    /// Below `src/`.
    path: String,
    text: String,
}

impl Source {
    /// The room of this file; `main.rs`, `lib.rs` and `bin/` are outside of them all.
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Whether the file has tests alone.
    fn is_tests(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }
}

#[test]
fn rooms_use_only_those_below() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = rank(source.room()) else { continue };
        for (line, used) in rooms_used(&source.text) {
            let allowed = used == source.room() || rank(used).is_none_or(|rank| rank > own);
            if !allowed {
                wrong.push(format!("src/{}:{line}: {} uses {used}", source.path, source.room()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn data_is_taken_in_without_a_database() {
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| source.room() == "ingest") {
        for (line, _) in rooms_used(&source.text).into_iter().filter(|(_, used)| *used == "db") {
            wrong.push(format!("src/{}:{line}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_has_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let room = name.trim_end_matches(".rs");
        assert!(matches!(room, "lib" | "main" | "bin") || rank(room).is_some(), "where does src/{name} belong?");
    }
}

/// The lists of rooms for readers.
#[test]
fn rooms_are_listed_from_the_top_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, row) in [("ARCHITECTURE.md", "| `"), ("src/lib.rs", "//! * [`")] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix(row));
        let listed: Vec<&str> = rows.flat_map(|rest| words(rest.split([']', '|']).next().unwrap())).collect();
        assert!(listed.is_sorted_by_key(|room| rank(room).unwrap_or(usize::MAX)), "{file}: {listed:?}");
        for room in ORDER.concat() {
            assert!(listed.contains(&room), "{file} does not list {room}");
        }
    }
}

#[test]
fn unsafe_is_only_in_sys() {
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| source.room() != "sys") {
        for (number, line) in code(&source.text) {
            if words(line).any(|word| word == "unsafe") || line.contains("allow(unsafe_code") {
                wrong.push(format!("src/{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_do_one_thing() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (lines, limit) = (source.text.lines().count(), if source.is_tests() { LINES_OF_TESTS } else { LINES });
        if lines > limit {
            wrong.push(format!("src/{}: {lines} lines, at most {limit}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn columns_of_an_image_are_not_listed_again() {
    let mut wrong = Vec::new();
    for source in sources() {
        let named = columns_named(&source.text).len();
        if named > COLUMNS && !source.is_tests() && !COLUMN_LISTS.contains(&source.path.as_str()) {
            wrong.push(format!("src/{}: names {named} columns of an image, at most {COLUMNS}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for list in COLUMN_LISTS {
        let source = sources().into_iter().find(|source| source.path == list).unwrap();
        assert!(columns_named(&source.text).len() > COLUMNS, "src/{list} lists no columns any more");
    }
}

/// Elsewhere in `api/`, errors are passed on, or are values of types that say what is wrong.
#[test]
fn errors_become_http_in_one_place() {
    const MADE: [&str; 4] = ["Error::explanation(", "Error::detail(", "Error::stock(", "Error::bad_request("];
    let is_the_place = |path: &str| path == "api/error.rs" || path.starts_with("api/domain_errors");
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room() != "api" || source.is_tests() {
            continue;
        }
        let made = code(&source.text).filter(|(_, line)| MADE.iter().any(|call| line.contains(call)));
        let made: Vec<String> =
            made.map(|(number, line)| format!("src/{}:{number}: {}", source.path, line.trim())).collect();
        if is_the_place(&source.path) {
            assert!(source.path != "api/domain_errors.rs" || !made.is_empty(), "errors are made in another way now");
        } else {
            wrong.extend(made);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_of_a_room_do_not_need_each_other_in_large_circles() {
    let sources = sources();
    let found = circles::find(sources.iter().map(|source| (source.path.as_str(), source.text.as_str())));
    assert!(found.is_empty(), "files that import each other in a circle: {found:#?}");
}

#[test]
fn the_checks_see_what_they_look_for() {
    let text = "use crate::{api, http::Body,\n    db};\n// use crate::policy;\nlet x = crate::store::open();\nlet s = \"crate::image\";";
    let used: Vec<&str> = rooms_used(text).into_iter().map(|(_, room)| room).collect();
    assert_eq!(used, ["api", "http", "db", "store", "image"]);
    let text = "let a = image.min_ram;\n// checksum\nuse Column::{OsHidden, Name};\nb(\"min_disk, min_ram\");\n\
                #[cfg(test)]\nmod tests { use Column::Checksum; }";
    assert_eq!(columns_named(text), [Column::MinRam, Column::MinDisk, Column::OsHidden]);
    assert_eq!(rank("service"), Some(0));
    assert_eq!(rank("db"), rank("store"));
    assert_eq!(rank("serde"), None);
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&room))
}

/// Every `crate::room` with its line, also in the braces of a `use`.
fn rooms_used(text: &str) -> Vec<(usize, &str)> {
    const START: &str = "crate::";
    let mut found = Vec::new();
    for (at, _) in text.match_indices(START) {
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        if text[line_start..at].trim_start().starts_with("//") {
            continue;
        }
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + START.len()..];
        if let Some(braces) = rest.strip_prefix('{') {
            found.extend(names_in_braces(braces).into_iter().map(|name| (line, name)));
        } else {
            found.push((line, words(rest).next().unwrap_or_default()));
        }
    }
    found
}

/// The first name of each item of a `use crate::{…}`, given what follows the opening brace.
fn names_in_braces(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (1, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && letter == ',' {
            names.extend(words(&text[start..at]).next());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// The columns that are named before the tests of a file, by their names or as variants of `Column`.
fn columns_named(text: &str) -> Vec<Column> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let named: HashSet<&str> = code(text).flat_map(|(_, line)| words(line)).collect();
    let is_named = |column: &Column| named.contains(column.name()) || named.contains(format!("{column:?}").as_str());
    let distinct = Image::COLUMNS.iter().copied().filter(|column| !COMMON_COLUMNS.contains(column));
    distinct.filter(is_named).collect()
}

/// The lines that are not comments, numbered.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found
}
