//! Circles: files of one room that import each other, whatever the way.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{self, Paths};

/// More files than these do not import each other in a circle: nobody could read one without the others.
const LARGEST: usize = 3;

/// Re-exports of re-exports that are followed.
const DEPTH: usize = 16;

/// All modules that have a file, by their path below the crate.
struct Modules {
    files: BTreeMap<Vec<String>, (String, Paths)>,
}

/// Circles of more than [`LARGEST`] files, each sorted by name.
pub(crate) fn find<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Vec<String>> {
    let modules = Modules::read(files);
    let arrows = modules.arrows();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for start in arrows.keys() {
        if circles.iter().any(|circle| circle.contains(start)) {
            continue;
        }
        let ahead = reached(&arrows, start);
        let circle: Vec<String> = ahead.into_iter().filter(|other| reached(&arrows, other).contains(start)).collect();
        if circle.len() > LARGEST {
            circles.push(circle);
        }
    }
    circles
}

/// All that can be come to from a file.
fn reached(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(file) = todo.pop() {
        for next in arrows.get(&file).into_iter().flatten() {
            if found.insert(next.clone()) {
                todo.push(next.clone());
            }
        }
    }
    found
}

impl Modules {
    /// `files`: paths below `src`, and texts. Those that exist in tests only are left out.
    fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter().map(|(file, text)| (module(file), (file.to_owned(), paths::read(text))));
        let mut modules = Self { files: files.collect() };
        let tests: Vec<Vec<String>> = modules
            .files
            .iter()
            .flat_map(|(path, (_, paths))| paths.test_modules.iter().map(|name| below(path, name)))
            .collect();
        modules.files.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        modules
    }

    /// Who imports whom within each room.
    fn arrows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, (file, paths)) in &self.files {
            let imports = paths.imports.iter().filter(|import| {
                // What is only handed on is used by whoever asks for it.
                !import.public || paths.words.contains(&import.name)
            });
            for used in imports.map(|import| &import.path).chain(&paths.inline) {
                let target = self.resolve(path, used, DEPTH).and_then(|target| self.files.get(&target));
                if let Some((target, _)) = target
                    && target != file
                    && room(target) == room(file)
                {
                    arrows.entry(file.clone()).or_default().insert(target.clone());
                }
            }
        }
        arrows
    }

    /// The module in whose file stands what `path` means in `module`; `None` if it is not of this crate.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let depth = depth.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(Vec::new(), rest, depth),
            "self" => self.descend(module.to_vec(), rest, depth),
            "super" => {
                let (_, parent) = module.split_last()?;
                let supers = rest.iter().take_while(|name| *name == "super").count();
                let parent = parent.get(..parent.len().checked_sub(supers)?)?;
                self.descend(parent.to_vec(), &rest[supers..], depth)
            }
            _ if self.files.contains_key(&below(module, first)) => self.descend(module.to_vec(), path, depth),
            _ => {
                let import = self.import(module, first)?;
                self.through(module, import, rest, depth)
            }
        }
    }

    /// Follows names downwards from a module.
    fn descend(&self, mut module: Vec<String>, path: &[String], depth: usize) -> Option<Vec<String>> {
        for (index, name) in path.iter().enumerate() {
            let child = below(&module, name);
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let (_, paths) = self.files.get(&module)?;
            if !paths.defined.contains(name)
                && let Some(import) = self.import(&module, name)
            {
                return self.through(&module, import, &path[index + 1..], depth);
            }
            if !paths.defined.contains(name) {
                let globs = paths.imports.iter().filter(|import| import.name == "*");
                let found = globs.filter_map(|glob| {
                    let given = self.resolve(&module, &glob.path[..glob.path.len() - 1], depth)?;
                    let provides = |module: &Vec<String>| {
                        self.files.get(module).is_some_and(|(_, paths)| {
                            paths.defined.contains(name) || paths.imports.iter().any(|import| import.name == *name)
                        })
                    };
                    provides(&given).then(|| self.descend(given, std::slice::from_ref(name), depth.checked_sub(1)?))?
                });
                if let Some(found) = found.into_iter().next() {
                    return Some(found);
                }
            }
            break;
        }
        Some(module)
    }

    fn import(&self, module: &[String], name: &str) -> Option<&paths::Import> {
        self.files.get(module)?.1.imports.iter().find(|import| import.name == name)
    }

    /// What an import means, followed by further names.
    fn through(&self, module: &[String], import: &paths::Import, rest: &[String], depth: usize) -> Option<Vec<String>> {
        let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
        // `use name::Item` beside a `name` that is itself imported would never end.
        (path != [import.name.clone()]).then(|| self.resolve(module, &path, depth))?
    }
}

/// The path of the module that a file makes.
fn module(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        path.pop();
    }
    path
}

fn below(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn circles_are_found_whatever_way_the_import_is_written() {
    let house = [
        ("lib.rs", "pub mod a; pub mod b;"),
        ("a/mod.rs", "mod one; mod two; mod three; mod four; mod face; mod alone; pub use one::One; pub use face::*;"),
        ("a/one.rs", "use super::{two::{self, Two as Other}};\npub struct One;"),
        // In a name of its own, and only in the code.
        (
            "a/two.rs",
            "pub struct Two; fn f() -> char { '\"'; let x: &'static str = r#\"super::alone\"#; super::three::f('{') }",
        ),
        // Through what the room hands on; not what a text, a comment or a test says.
        (
            "a/three.rs",
            "// use super::alone;\nuse crate::a::face::Hidden;\n#[cfg(test)]\nmod tests { use super::super::alone; }",
        ),
        ("a/face.rs", "pub use super::four::Hidden;"),
        ("a/four.rs", "pub struct Hidden; pub(in crate::a::alone) struct Scope; use super::One;"),
        ("a/alone.rs", "use super::{One, Hidden}; use crate::b::B;"),
        ("b.rs", "use crate::a::One; pub struct B;"),
    ];
    assert_eq!(find(house), [["a/four.rs", "a/one.rs", "a/three.rs", "a/two.rs"]]);
    let opened = house.map(|(file, text)| (file, text.replace("super::three::f", "f")));
    assert!(find(opened.iter().map(|(file, text)| (*file, text.as_str()))).is_empty());
}

#[test]
fn three_files_may_need_each_other_and_tests_do_not_count() {
    let house = [
        ("a/mod.rs", "mod one; mod two; mod three;\n#[cfg(test)]\nmod fake;"),
        ("a/one.rs", "use super::two::Two; #[cfg(test)] use super::fake::Fake; pub struct One;"),
        ("a/two.rs", "use super::three::Three; pub struct Two;"),
        ("a/three.rs", "use super::one::One; pub struct Three;"),
        ("a/fake.rs", "use super::one::One; pub struct Fake;"),
    ];
    assert!(find(house).is_empty());
    let with_fake = house.map(|(file, text)| (file, text.replace("#[cfg(test)]", "")));
    assert_eq!(find(with_fake.iter().map(|(file, text)| (*file, text.as_str()))).len(), 1);
}
