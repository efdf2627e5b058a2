//! oslo.config files become typed options: one struct for each section, with upstream's names and defaults.
//!
//! [`Config::load`] is the way in: it finds the files ([`Sources`]), reads them ([`ini`]), layers them with environment and
//! command line (the `config` crate), takes typed values out, and checks how they stand together. All that is wrong is
//! reported at once, each with file and line. What comes out never changes; a reload loads anew and compares
//! ([`Config::difference`]).
//!
//! The drivers of stores declare their options themselves ([`option`]), and are handed to [`Config::load`] as [`StoreKind`]s; what a
//! file says to them is kept as [`DriverOptions`].
//!
//! Beyond oslo.config, a secret option or one that names a file may be written `credential:NAME`: the credential that
//! systemd passes under that name (`LoadCredential=`, `LoadCredentialEncrypted=` in systemd.exec(5)) is used, its text for
//! a secret, its path for a file.

mod arguments;
mod checks;
mod difference;
mod driver_options;
mod embedded;
mod files;
mod given;
pub mod ini;
mod layers;
mod load;
pub(crate) mod option;
mod partial;
mod problem;
mod reader;
mod report;
mod schema;
mod secret;
mod sections;
mod sources;
mod store_kind;
mod stores;
mod substitute;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use arguments::{Arguments, CommonArguments, Given, Program};
#[cfg(test)]
pub(crate) use checks::HASHES;
pub use difference::{Needs, OptionChange};
pub use driver_options::DriverOptions;
pub use files::FileStates;
pub(crate) use given::given;
pub use load::Loaded;
use option::{OptionInfo, Options, Section};
pub use partial::Partial;
pub use problem::{ConfigErrors, Origin, Problem, Warning};
pub use reader::Origins;
pub use report::locate;
pub use secret::Secret;
pub use sections::*;
pub use sources::Sources;
pub use store_kind::StoreKind;
pub(crate) use stores::RESERVED_PREFIX;
pub use stores::{STAGING_STORE, StoreSection, TASKS_STORE};

/// Declares [`Config`] from the list of sections.
macro_rules! config {
    ($( $field:ident: $section:ident, )+) => {
        /// All options in force. Made once for a start or a reload, then never changed.
        #[derive(Clone, Debug, Default)]
        pub struct Config {
            $(
                #[doc = concat!("Its section of the file: see [`", stringify!($section), "`].")]
                pub $field: $section,
            )+
            /// What `[glance_store]` says to drivers: for the stores of a single-store configuration.
            pub driver_options: DriverOptions,
            /// The sections of the file that are a driver's: see [`StoreKind::sections`].
            pub driver_sections: BTreeMap<&'static str, DriverOptions>,
            /// The sections named by `enabled_backends`, and the two reserved stores, each option looked up in the
            /// store's own section, then `[backend_defaults]`, then the built-in default.
            pub stores: BTreeMap<String, StoreSection>,
            /// Where the service keeps what is neither database nor image data: `[service] state_directory`, else what systemd or the
            /// user's environment gives. `None` if nothing says.
            pub state_directory: Option<PathBuf>,
            /// The state directory, where no configuration was found and the embedded default is in force.
            pub embedded: Option<PathBuf>,
            /// The files that were read, in order; later ones win.
            pub files: Vec<PathBuf>,
            /// Where files named without a directory are looked for: see [`Config::find_file`].
            pub search: Vec<PathBuf>,
            /// Where each option comes from that anything sets: `(section, option)` → file and line, environment, …
            pub origins: Arc<Origins>,
        }

        impl Config {
            /// Reads all sections but those of stores.
            fn read_sections(reader: &mut reader::Reader<'_>, accounts: &load::AuthSections) -> Self {
                Self {
                    $( $field: $section::read(
                        &mut reader.section(vec![$section::NAME.to_owned()]).with_plugin_section(accounts.get($section::NAME).cloned()),
                    ), )+
                    ..Self::default()
                }
            }

            /// Calls `visit` with section, option and value of all there is. Secrets are not masked.
            fn each(&self, visit: &mut dyn FnMut(&str, &'static OptionInfo, Option<String>)) {
                $( self.$field.each(&mut |info, text| visit($section::NAME, info, text)); )+
                self.driver_options.each(&mut |info, text| visit(GlanceStoreSection::NAME, info, text));
                for (section, options) in &self.driver_sections {
                    options.each(&mut |info, text| visit(section, info, text));
                }
                for (id, store) in &self.stores {
                    store.each(&mut |info, text| visit(id, info, text));
                }
            }
        }
    };
}

sections::all!(config);

impl Config {
    /// Where the value of an option comes from; for a store, `section` is its id.
    pub fn origin(&self, section: &str, option: &str) -> Origin {
        reader::origin(&self.origins, section, option)
    }

    /// The file of this name: in the directories given by `--config-dir`, beside the configuration files, then in the
    /// usual places (`ConfigOpts.find_file` of oslo.config). An absolute path is only checked. Asks the file system.
    pub fn find_file(&self, name: &str) -> Option<PathBuf> {
        sources::find_in(&self.search, name)
    }
}
