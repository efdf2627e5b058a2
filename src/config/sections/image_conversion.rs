//! `[image_conversion]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[image_conversion]`.
    ImageConversionSection = "image_conversion" {
        /// Target format of the conversion plugin.
        output_format: String = "raw", tier1().choices(&["qcow2", "raw", "vmdk"]);
    }
}
