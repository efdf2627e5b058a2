//! Options that the configuration knows by their declarations only: those of the drivers of stores, which are above.

use std::collections::BTreeMap;
use std::fmt;

use super::Secret;
use super::option::{OptionInfo, Options, Values, Written, shown};
use super::value::OptionValue;

/// What a section says to drivers. A driver takes out its own options, as it has declared them: [`DriverOptions::read`].
#[derive(Clone, Default)]
pub struct DriverOptions {
    declared: Vec<&'static OptionInfo>,
    /// What is written for an option, with all that it refers to in its place. Any of it may be secret.
    texts: BTreeMap<&'static str, Vec<Secret>>,
}

impl DriverOptions {
    /// Takes what `texts` has for each option, if it is a value of it.
    pub(super) fn of(
        declared: Vec<&'static OptionInfo>,
        mut texts: impl FnMut(&'static OptionInfo) -> Option<Vec<Secret>>,
    ) -> Self {
        let given = declared.iter().filter_map(|info| Some((info.name, texts(info)?))).collect();
        Self { declared, texts: given }
    }

    /// The options of one driver; what is not set has its default.
    pub(crate) fn read<O: Options>(&self) -> O {
        O::read(&mut &*self)
    }

    /// The value of an option as it would be written in a file. Secrets are not masked.
    pub fn text(&self, option: &str) -> Option<String> {
        let info = self.declared.iter().find(|info| info.name == option)?;
        self.text_of(info)
    }

    /// Gives an option what a file could say of it: one text, or several where all count.
    pub fn set(&mut self, option: &'static str, texts: &[&str]) {
        self.texts.insert(option, texts.iter().map(|text| Secret::from(*text)).collect());
    }

    /// Calls `visit` with each option and its value as it would be written in a file. Secrets are not masked.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&'static OptionInfo, Option<String>)) {
        for info in &self.declared {
            visit(info, self.text_of(info));
        }
    }

    pub(super) fn text_of(&self, info: &OptionInfo) -> Option<String> {
        let written = self.exposed(info).and_then(|texts| (info.check)(&texts, info).ok().flatten());
        written.map_or_else(info.default, |Written(text)| text)
    }

    fn exposed(&self, info: &OptionInfo) -> Option<Vec<String>> {
        let texts = self.texts.get(info.name)?;
        Some(texts.iter().map(|text| text.expose().to_owned()).collect())
    }
}

impl Values for &DriverOptions {
    fn option<T: OptionValue>(&mut self, info: &'static OptionInfo, default: impl FnOnce() -> T) -> T {
        let value = self.exposed(info).and_then(|texts| T::parse(&texts, info).ok().flatten());
        value.unwrap_or_else(default)
    }
}

/// Which options there are is the same for all.
impl PartialEq for DriverOptions {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl fmt::Debug for DriverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_map();
        self.each(&mut |info, text| {
            out.entry(&info.name, &shown(info, text));
        });
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::option::{options, tier1};

    options! {
        /// Options of a driver.
        DiskOptions {
            /// Where images lie.
            disk_folders: Vec<String> = ["/images"], tier1().multi();
            /// Bytes.
            disk_chunk: i64 = 8, tier1();
            /// What nobody may see.
            disk_key: Option<Secret> = None, tier1().secret();
        }
    }

    #[test]
    fn a_driver_gets_what_is_written_for_its_options_and_the_defaults_of_others() {
        let declared: Vec<_> = DiskOptions::OPTIONS.iter().collect();
        let written = |name: &str| match name {
            "disk_folders" => Some(vec!["/a,b".into(), "/c".into()]),
            "disk_chunk" => Some(vec!["".into()]),
            "disk_key" => Some(vec!["hunter2".into()]),
            _ => None,
        };
        let options = DriverOptions::of(declared.clone(), |info| written(info.name));
        let read: DiskOptions = options.read();
        assert_eq!((read.disk_folders, read.disk_chunk), (vec!["/a,b".to_owned(), "/c".to_owned()], 8));
        assert_eq!(read.disk_key.unwrap().expose(), "hunter2");
        assert_eq!((options.text("disk_chunk"), options.text("other")), (Some("8".to_owned()), None));
        let shown = format!("{options:?}");
        assert!(shown.contains("/a,b,/c") && !shown.contains("hunter2"), "{shown}");

        let mut changed = DriverOptions::of(declared, |info| written(info.name));
        assert_eq!(changed, options);
        changed.set("disk_chunk", &["9"]);
        assert_eq!(changed.read::<DiskOptions>().disk_chunk, 9);
        assert_ne!(changed, options);
    }
}
