//! The file of protections, as Python's `configparser` reads it.

use std::collections::HashSet;

use super::Problem;

/// Replacements within replacements that are followed, as in Python.
const DEPTH: usize = 10;

/// A section with the options of `[DEFAULT]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) line: usize,
    options: Vec<Entry>,
}

/// An option: a name in lower case, and the text of its value over all of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    name: String,
    value: String,
    pub(super) line: usize,
}

type Located = (usize, Problem);

impl Section {
    pub(super) fn option(&self, name: &str) -> Option<&Entry> {
        self.options.iter().find(|entry| entry.name == name)
    }

    /// The value of an option of this section, with `%(name)s` replaced.
    pub(super) fn value(&self, option: &Entry) -> Result<String, Located> {
        let refused = || {
            let (section, name) = (self.name.clone(), option.name.clone());
            (option.line, Problem::Interpolation { section, option: name })
        };
        self.replaced(&option.value, DEPTH).ok_or_else(refused)
    }

    fn replaced(&self, text: &str, depth: usize) -> Option<String> {
        let mut replaced = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            replaced.push_str(before);
            if let Some(tail) = after.strip_prefix('%') {
                replaced.push('%');
                rest = tail;
            } else {
                let (name, tail) = after.strip_prefix('(')?.split_once(")s")?;
                let value = &self.option(&name.to_lowercase())?.value;
                replaced.push_str(&self.replaced(value, depth.checked_sub(1)?)?);
                rest = tail;
            }
        }
        Some(replaced + rest)
    }
}

/// The sections in order.
pub(super) fn sections(text: &str) -> Result<Vec<Section>, Located> {
    let mut reader = Reader::default();
    for (line, content) in (1..).zip(text.split('\n')) {
        reader.take(line, content)?;
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    defaults: Section,
    /// Names of sections that have been begun.
    known: HashSet<String>,
    is_begun: bool,
    is_default: bool,
    /// The last line was an option, or continued one.
    is_option: bool,
    /// How far the last section or option was indented.
    indent: usize,
}

impl Reader {
    fn take(&mut self, line: usize, text: &str) -> Result<(), Located> {
        let content = text.trim();
        let is_comment = content.starts_with(['#', ';']);
        if content.is_empty() || is_comment {
            // An empty line may stand within a value.
            if let Some(entry) = self.last().filter(|_| !is_comment) {
                entry.value.push('\n');
            }
            return Ok(());
        }
        let indent = text.len() - text.trim_start().len();
        if indent > self.indent
            && let Some(entry) = self.last()
        {
            entry.value.push('\n');
            entry.value.push_str(content);
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = header(content) {
            return self.begin(line, name);
        }
        if !self.is_begun {
            return Err((line, Problem::NoSection(content.to_owned())));
        }
        let syntax = || (line, Problem::Syntax(content.to_owned()));
        let (name, value) = content.split_once(['=', ':']).ok_or_else(syntax)?;
        let (name, value) = (name.trim_end().to_lowercase(), value.trim().to_owned());
        if name.is_empty() {
            return Err(syntax());
        }
        let Some(section) = self.current() else { return Err(syntax()) };
        if section.option(&name).is_some() {
            let section = section.name.clone();
            return Err((line, Problem::DuplicateOption { section, option: name }));
        }
        section.options.push(Entry { name, value, line });
        self.is_option = true;
        Ok(())
    }

    fn begin(&mut self, line: usize, name: &str) -> Result<(), Located> {
        (self.is_begun, self.is_option, self.is_default) = (true, false, name == "DEFAULT");
        if self.is_default {
            self.defaults.name = name.to_owned();
        } else if self.known.insert(name.to_owned()) {
            self.sections.push(Section { name: name.to_owned(), line, options: Vec::new() });
        } else {
            return Err((line, Problem::DuplicateSection(name.to_owned())));
        }
        Ok(())
    }

    fn current(&mut self) -> Option<&mut Section> {
        if self.is_default { Some(&mut self.defaults) } else { self.sections.last_mut() }
    }

    /// The option to which a further line belongs.
    fn last(&mut self) -> Option<&mut Entry> {
        if self.is_option { self.current()?.options.last_mut() } else { None }
    }

    fn finish(self) -> Vec<Section> {
        let Self { mut sections, mut defaults, .. } = self;
        let trim = |entry: &mut Entry| entry.value.truncate(entry.value.trim_end().len());
        defaults.options.iter_mut().for_each(trim);
        for section in &mut sections {
            section.options.iter_mut().for_each(trim);
            let inherited = defaults.options.iter().filter(|entry| section.option(&entry.name).is_none());
            let inherited: Vec<Entry> = inherited.cloned().collect();
            section.options.extend(inherited);
        }
        sections
    }
}

/// The name between the first bracket and the last.
fn header(content: &str) -> Option<&str> {
    let (name, _) = content.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}
