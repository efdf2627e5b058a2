//! The INI dialect of PasteDeploy: case counts in names, `%(name)s` is replaced (upstream: `paste/deploy/loadwsgi.py`).

use std::collections::BTreeMap;
use std::path::Path;

/// Replacements within replacements that are still followed.
const DEPTH: usize = 10;

/// Sections by name.
#[derive(Debug)]
pub(in crate::http) struct Ini {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    /// Those of `[DEFAULT]`.
    defaults: BTreeMap<String, String>,
    /// By section and option, where the option's last value begins.
    lines: BTreeMap<(String, String), usize>,
    /// By section, where it begins first.
    beginnings: BTreeMap<String, usize>,
}

/// A line that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: neither a section nor an option: {text}")]
pub(crate) struct IniError {
    number: usize,
    text: String,
}

impl Ini {
    /// # Errors
    /// A line that is neither section, option, continuation nor comment.
    pub(in crate::http) fn parse(text: &str, path: &Path) -> Result<Self, IniError> {
        let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
        let built_in = [("here".to_owned(), folder), ("__file__".to_owned(), path.to_string_lossy().into_owned())];
        let mut ini = Self {
            sections: BTreeMap::new(),
            defaults: BTreeMap::from(built_in),
            lines: BTreeMap::new(),
            beginnings: BTreeMap::new(),
        };
        let (mut section, mut key) = (None, None::<String>);
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let broken = || IniError { number, text: content.to_owned() };
            if line.starts_with(char::is_whitespace) && key.is_some() {
                let options = ini.options_mut(section.as_ref()).ok_or_else(broken)?;
                let value = key.as_ref().and_then(|key| options.get_mut(key)).ok_or_else(broken)?;
                value.push('\n');
                value.push_str(content);
            } else if let Some(name) = content.strip_prefix('[') {
                let name = name.strip_suffix(']').ok_or_else(broken)?.trim().to_owned();
                if name != "DEFAULT" {
                    ini.sections.entry(name.clone()).or_default();
                    ini.beginnings.entry(name.clone()).or_insert(number);
                }
                (section, key) = (Some(name), None);
            } else {
                let (name, value) = content.split_once(['=', ':']).ok_or_else(broken)?;
                // A path as a name begins before the first separator: `/: api`.
                let name = name.trim().to_owned();
                let options = ini.options_mut(section.as_ref()).ok_or_else(broken)?;
                options.insert(name.clone(), value.trim().to_owned());
                ini.lines.insert((section.clone().unwrap_or_default(), name.clone()), number);
                key = Some(name);
            }
        }
        Ok(ini)
    }

    /// The options of `[DEFAULT]`.
    pub(in crate::http) fn defaults(&self) -> &BTreeMap<String, String> {
        &self.defaults
    }

    /// The number of the line in which an option of a section stands; 0 where it is not there.
    pub(in crate::http) fn line(&self, section: &str, option: &str) -> usize {
        self.lines.get(&(section.to_owned(), option.to_owned())).copied().unwrap_or(0)
    }

    /// The number of the line in which a section begins; 0 where it is not there.
    pub(in crate::http) fn beginning(&self, section: &str) -> usize {
        self.beginnings.get(section).copied().unwrap_or(0)
    }

    /// The first section with one of these names, and its own options, replaced.
    pub(in crate::http) fn find(&self, names: &[String]) -> Option<(&str, BTreeMap<String, String>)> {
        let (name, options) = names.iter().find_map(|name| self.sections.get_key_value(name))?;
        let replaced = options.iter().map(|(key, value)| (key.clone(), self.replace(value, options, DEPTH)));
        Some((name, replaced.collect()))
    }

    fn replace(&self, text: &str, options: &BTreeMap<String, String>, depth: usize) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            replaced.push_str(before);
            let named = after.strip_prefix('(').and_then(|after| after.split_once(")s"));
            let value = named.and_then(|(name, _)| options.get(name).or_else(|| self.defaults.get(name)));
            match (named, value) {
                (Some((_, tail)), Some(value)) if depth > 0 => {
                    replaced.push_str(&self.replace(value, options, depth - 1));
                    rest = tail;
                }
                _ => {
                    replaced.push('%');
                    rest = after.strip_prefix('%').unwrap_or(after);
                }
            }
        }
        replaced + rest
    }

    fn options_mut(&mut self, section: Option<&String>) -> Option<&mut BTreeMap<String, String>> {
        match section?.as_str() {
            "DEFAULT" => Some(&mut self.defaults),
            name => self.sections.get_mut(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_options_are_read() {
        let text = "# a comment\n[DEFAULT]\nwhere = /srv\n[composite:x]\nuse = egg:Paste#urlmap\n/: api\n/a/b = c\n; more\n\
                    [filter:y]\nlist = a\n  b\n\tc\npath = %(where)s/%(here)s/100%%\nCase = Kept\n[filter:y]\nlater = 1\n";
        let ini = Ini::parse(text, Path::new("/etc/glance/p.ini")).unwrap();
        let (name, options) = ini.find(&["nothing".to_owned(), "composite:x".to_owned()]).unwrap();
        assert_eq!((name, options["/"].as_str(), options["/a/b"].as_str()), ("composite:x", "api", "c"));
        assert_eq!(options["use"], "egg:Paste#urlmap");
        let (_, options) = ini.find(&["filter:y".to_owned()]).unwrap();
        assert_eq!(options["list"], "a\nb\nc");
        assert_eq!(options["path"], "/srv//etc/glance/100%");
        assert_eq!((options["Case"].as_str(), options["later"].as_str()), ("Kept", "1"));
        assert!(ini.find(&["filter:z".to_owned()]).is_none());
        let line = |section, option| ini.line(section, option);
        assert_eq!((line("composite:x", "use"), line("filter:y", "list"), line("filter:y", "none")), (5, 10, 0));
    }

    #[test]
    fn replacement_ends() {
        let ini = Ini::parse("[a]\nx = %(y)s\ny = %(x)s\n", Path::new("p.ini")).unwrap();
        assert!(ini.find(&["a".to_owned()]).is_some());
    }

    #[test]
    fn a_broken_line_is_named() {
        for (text, line) in [("[a]\nnonsense\n", 2), ("[a\n", 1), ("x = 1\n", 1)] {
            let error = Ini::parse(text, Path::new("p.ini")).unwrap_err();
            assert_eq!(error.number, line, "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[\\[\\]a=:%()s# \n]{0,80}") {
            if let Ok(ini) = Ini::parse(&text, Path::new("p.ini")) {
                for name in ini.sections.keys() {
                    ini.find(std::slice::from_ref(name));
                }
            }
        }
    }
}
