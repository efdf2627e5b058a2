//! What is known of an option, declared once: its name, type, default, range, old names and standing.

pub(crate) use super::value::{IntoDefault, OptionValue};

use super::value::Rejected;

/// One option of a section.
#[derive(Debug)]
pub(crate) struct OptionInfo {
    /// Its name in the file.
    pub(super) name: &'static str,
    /// What it is for, in a sentence.
    pub(super) help: &'static str,
    /// Limits and standing.
    pub(super) rules: Rules,
    /// Its built-in value as it would be written in a file; `None` where there is none.
    pub(super) default: fn() -> Option<String>,
    /// Its values are true and false.
    pub(super) boolean: bool,
    /// Reads the texts of a file as the option's type does.
    pub(super) check: fn(&[String], &OptionInfo) -> Result<Option<Written>, Rejected>,
}

/// A value as it would be written in a file; `None` when nothing is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written(pub(super) Option<String>);

impl OptionInfo {
    /// For [`options!`]; `T` is the field's type.
    pub(crate) const fn new<T: OptionValue>(
        name: &'static str,
        help: &'static str,
        rules: Rules,
        default: fn() -> Option<String>,
    ) -> Self {
        let check = |texts: &[String], info: &OptionInfo| Ok(T::parse(texts, info)?.map(|value| Written(value.text())));
        Self { name, help, rules, default, boolean: T::BOOLEAN, check }
    }
}

/// For the tests of those who declare options.
#[cfg(test)]
impl OptionInfo {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its value changes nothing, and whoever sets it is told so.
    pub(crate) fn is_without_effect(&self) -> bool {
        self.rules.tier == 3 || self.rules.idle.is_some() || self.rules.standing == Lifecycle::Removed
    }

    /// What is wrong with the declaration.
    pub(crate) fn flaw(&self) -> Option<String> {
        if self.help.is_empty() {
            return Some(format!("{}: no help", self.name));
        }
        let text = (self.default)().filter(|text| !text.is_empty())?;
        // Bounded lists are shown without their brackets.
        let text = if self.rules.bounded { format!("[{text}]") } else { text };
        let refused = (self.check)(std::slice::from_ref(&text), self).err()?;
        Some(format!("{} = {text}: {refused:?}", self.name))
    }
}

/// Limits and standing of an option, written as `tier1().min(1.0).old(&[("", "old_name")])`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// 1: existing files rely on it; 2: honoured where its feature exists; 3: accepted, has no effect.
    pub(super) tier: u8,
    /// Smallest number allowed.
    pub(super) min: Option<f64>,
    /// Largest number allowed.
    pub(super) max: Option<f64>,
    /// The only texts allowed; for a list, the only items.
    pub(super) choices: &'static [&'static str],
    /// Choices are compared without regard to case.
    pub(super) ignore_case: bool,
    /// Former places, `(section, name)`; an empty section is the option's own.
    pub(super) old: &'static [(&'static str, &'static str)],
    /// Never shown.
    pub(super) secret: bool,
    /// Pairs whose values are URLs, with or without a scheme: what may be a password in them is not shown.
    pub(super) urls: bool,
    /// May be given several times; all values count.
    pub(super) multi: bool,
    /// A list that stands in `[` and `]`.
    pub(super) bounded: bool,
    /// A list whose items may stand in quotes.
    pub(super) quoted: bool,
    /// What a text, or an item of a list, must look like.
    pub(super) format: Format,
    /// Names a file, so that `credential:NAME` may stand for its path.
    pub(super) file: bool,
    /// Why it has no effect, although the file may rely on it.
    pub(super) idle: Option<Idle>,
    /// Belongs to the authentication plugin; read from `auth_section` where that is set.
    pub(super) plugin: bool,
    /// Whether new files should use it.
    pub(super) standing: Lifecycle,
}

/// Why an option is read but has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It is for a feature that this version does not have.
    Later(&'static str),
    Because(&'static str),
}

impl std::fmt::Display for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Later(feature) => write!(f, " yet: {feature} are not part of this version"),
            Self::Because(reason) => write!(f, ": {reason}"),
        }
    }
}

/// What a text must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Any,
    /// An IP address or a host name.
    Host,
    /// As [`Self::Host`], or nothing.
    HostOrNone,
    /// A URI with a scheme and a host.
    Uri,
    /// A whole number within the option's range.
    Integer,
}

/// Whether new files should use an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    Current,
    /// Still works.
    Deprecated,
    /// Known from old files; has no effect.
    Removed,
}

/// Existing files rely on it.
pub(crate) const fn tier1() -> Rules {
    Rules::new(1)
}

/// Honoured where its feature exists.
pub(crate) const fn tier2() -> Rules {
    Rules::new(2)
}

/// Accepted, has no effect here.
pub(crate) const fn tier3() -> Rules {
    Rules::new(3)
}

/// Known from old files only.
pub(crate) const fn removed() -> Rules {
    Rules { standing: Lifecycle::Removed, ..Rules::new(3) }
}

impl Rules {
    const fn new(tier: u8) -> Self {
        Self {
            tier,
            min: None,
            max: None,
            choices: &[],
            ignore_case: false,
            old: &[],
            secret: false,
            urls: false,
            multi: false,
            bounded: false,
            quoted: false,
            format: Format::Any,
            file: false,
            idle: None,
            plugin: false,
            standing: Lifecycle::Current,
        }
    }

    pub(crate) const fn min(self, min: f64) -> Self {
        Self { min: Some(min), ..self }
    }

    pub(crate) const fn max(self, max: f64) -> Self {
        Self { max: Some(max), ..self }
    }

    pub(crate) const fn choices(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }

    pub(crate) const fn ignore_case(self) -> Self {
        Self { ignore_case: true, ..self }
    }

    pub(crate) const fn old(self, old: &'static [(&'static str, &'static str)]) -> Self {
        Self { old, ..self }
    }

    pub(crate) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    pub(crate) const fn urls(self) -> Self {
        Self { urls: true, ..self }
    }

    pub(crate) const fn multi(self) -> Self {
        Self { multi: true, ..self }
    }

    pub(crate) const fn bounded(self) -> Self {
        Self { bounded: true, ..self }
    }

    pub(crate) const fn quoted(self) -> Self {
        Self { quoted: true, ..self }
    }

    pub(crate) const fn host(self) -> Self {
        Self { format: Format::Host, ..self }
    }

    /// Empty has a meaning of its own.
    pub(crate) const fn host_or_none(self) -> Self {
        Self { format: Format::HostOrNone, ..self }
    }

    pub(crate) const fn uri(self) -> Self {
        Self { format: Format::Uri, ..self }
    }

    pub(crate) const fn integers(self) -> Self {
        Self { format: Format::Integer, ..self }
    }

    pub(crate) const fn file(self) -> Self {
        Self { file: true, ..self }
    }

    /// Without effect until this version has the feature, named in the plural.
    pub(crate) const fn later(self, feature: &'static str) -> Self {
        Self { idle: Some(Idle::Later(feature)), ..self }
    }

    /// Without effect, because what it is about is done otherwise here.
    pub(crate) const fn idle(self, reason: &'static str) -> Self {
        Self { idle: Some(Idle::Because(reason)), ..self }
    }

    pub(crate) const fn plugin(self) -> Self {
        Self { plugin: true, ..self }
    }

    pub(crate) const fn deprecated(self) -> Self {
        Self { standing: Lifecycle::Deprecated, ..self }
    }
}

/// What gives options their values.
pub(crate) trait Values {
    /// The value of an option, or its default where it is not set, or not to be used.
    fn option<T: OptionValue>(&mut self, info: &'static OptionInfo, default: impl FnOnce() -> T) -> T;
}

/// A struct whose fields are options that are read together.
pub(crate) trait Options: Default {
    /// The options, in the order of the fields.
    const OPTIONS: &'static [OptionInfo];

    /// Fills the fields with what `values` has for them.
    fn read(values: &mut impl Values) -> Self;

    /// Calls `visit` with each option and its value as it would be written in a file. Secrets are not masked.
    fn each(&self, visit: &mut dyn FnMut(&'static OptionInfo, Option<String>));
}

/// Options that have a section of the file to themselves.
pub(super) trait Section: Options {
    /// Name of the section in the file.
    const NAME: &'static str;
}

/// Declares options: their struct, defaults, reading and table in one.
///
/// ```ignore
/// options! {
///     /// Options of stores of type `disk`.
///     pub(super) DiskOptions {
///         /// Where images lie.
///         disk_folder: String = "/var/lib/glance/images", tier1().old(&[("DEFAULT", "disk_folder")]);
///     }
/// }
/// ```
///
/// Defaults are written plainly: text, numbers, `[...]` for lists, `None`. `Debug` masks what is secret.
macro_rules! options {
    (@info $field:ident, $type:ty, $default:expr, $rules:expr, $($help:literal)+) => {
        $crate::config::option::OptionInfo::new::<$type>(
            stringify!($field),
            concat!($($help),+).trim_ascii_start(),
            $rules,
            || {
                let default: $type = $crate::config::option::IntoDefault::<$type>::into_default($default);
                $crate::config::option::OptionValue::text(&default)
            },
        )
    };
    (
        $(#[$about:meta])*
        $vis:vis $name:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $type:ty = $default:expr, $rules:expr; )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $help])+ $vis $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::config::option::IntoDefault::<$type>::into_default($default), )+ }
            }
        }

        impl $crate::config::option::Options for $name {
            const OPTIONS: &'static [$crate::config::option::OptionInfo] = &[
                $( $crate::config::option::options!(@info $field, $type, $default, $rules, $($help)+), )+
            ];

            fn read(values: &mut impl $crate::config::option::Values) -> Self {
                Self {
                    $( $field: values.option(
                        const { &$crate::config::option::options!(@info $field, $type, $default, $rules, $($help)+) },
                        || $crate::config::option::IntoDefault::<$type>::into_default($default),
                    ), )+
                }
            }

            fn each(
                &self,
                visit: &mut dyn FnMut(&'static $crate::config::option::OptionInfo, Option<String>),
            ) {
                $( visit(
                    const { &$crate::config::option::options!(@info $field, $type, $default, $rules, $($help)+) },
                    $crate::config::option::OptionValue::text(&self.$field),
                ); )+
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::config::option::debug(stringify!($name), self, f)
            }
        }
    };
}
pub(crate) use options;

/// Declares the options of a section, as [`options!`] does: `TaskSection = "task" { … }`.
macro_rules! section {
    (
        $(#[$about:meta])*
        $name:ident = $section:literal { $($options:tt)+ }
    ) => {
        $crate::config::option::options! {
            $(#[$about])*
            pub $name { $($options)+ }
        }

        impl $crate::config::option::Section for $name {
            const NAME: &'static str = $section;
        }
    };
}
pub(super) use section;

/// `Debug` of options, with secrets masked whatever the type of their field.
pub(crate) fn debug<O: Options>(name: &str, options: &O, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let mut out = f.debug_struct(name);
    options.each(&mut |info, text| {
        out.field(info.name, &shown(info, text));
    });
    out.finish()
}

/// The form of a value that may be shown, as it would stand in a file: secrets masked, and the credentials of any URL.
pub(super) fn shown(info: &OptionInfo, text: Option<String>) -> Option<String> {
    text.map(|text| match info.rules {
        Rules { secret: true, .. } => super::secret::masked(&text),
        Rules { urls: true, .. } => super::secret::mask_pairs(&text),
        Rules { bounded: true, .. } => format!("[{text}]"),
        _ => super::secret::mask_url(&text),
    })
}
