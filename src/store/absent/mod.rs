//! Drivers that upstream has and this version has not. Files that serve both may have their options, and name them.

pub(super) mod cinder;
pub(super) mod s3;
pub(super) mod swift;
pub(super) mod vmware;

use super::driver::Driver;
use crate::config::option::OptionInfo;
use crate::config::{DriverOptions, StoreKind};

const fn absent(
    name: &'static str,
    old_name: &'static str,
    schemes: &'static [&'static str],
    options: &'static [OptionInfo],
    unverified: fn(&DriverOptions) -> Option<&'static str>,
) -> Driver {
    Driver {
        kind: StoreKind {
            name,
            old_name,
            schemes,
            is_read_only: false,
            options,
            sections: &[],
            folder: None,
            unverified,
        },
        private_schemes: &[],
        is_filtered: false,
        is_open_to_users: false,
        make: None,
        lasts: None,
        make_disabled: None,
    }
}
