//! `[image_format]`.

use crate::config::option::{section, tier1};

section! {
    /// Options of `[image_format]`.
    ImageFormatSection = "image_format" {
        /// Accepted container_format values.
        container_formats: Vec<String> = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
            tier1().old(&[("DEFAULT", "container_formats")]);
        /// Accepted disk_format values.
        disk_formats: Vec<String> = [
            "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
        ], tier1().old(&[("DEFAULT", "disk_formats")]);
        /// Names of GPT/MBR safety checks that only warn.
        gpt_safety_checks_nonfatal: Vec<String> = [], tier1();
        /// Reject data whose detected format contradicts disk_format.
        require_image_format_match: bool = true, tier1();
        /// VMDK createType values the conversion plugin accepts; empty accepts none.
        vmdk_allowed_types: Vec<String> = ["streamOptimized", "monolithicSparse"], tier1();
    }
}
