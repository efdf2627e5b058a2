//! What a file store can be told.

use crate::config::option::{options, tier1};

/// The option that names the one folder of a store.
pub(in crate::store) const FOLDER: &str = "filesystem_store_datadir";

options! {
    /// Options of stores of type `file`.
    pub(in crate::store) FileOptions {
        /// Read and write block size in bytes.
        filesystem_store_chunk_size: i64 = 65_536, tier1().min(1.0);
        /// Directory for image files.
        filesystem_store_datadir: String = "/var/lib/glance/images", tier1();
        /// Several directories, each path:priority; mutually exclusive with the single directory.
        filesystem_store_datadirs: Vec<String> = [], tier1().deprecated().multi();
        /// Octal mode written in decimal notation for new files; 0 keeps the umask.
        filesystem_store_file_perm: i64 = 0, tier1();
        /// JSON file with mount point ids copied into location metadata.
        filesystem_store_metadata_file: Option<String> = None, tier1().file();
        /// Threads for those guarded calls.
        filesystem_store_thread_pool_size: i64 = 10, tier1().min(1.0);
        /// Pool usage in percent that logs a warning.
        filesystem_store_threadpool_threshold: i64 = 75, tier1().min(0.0).max(100.0);
        /// Seconds before a blocking stat/unlink/statvfs call is abandoned; 0 is off.
        filesystem_store_timeout: i64 = 0, tier1().min(0.0);
        /// Leave holes for all-zero blocks.
        filesystem_thin_provisioning: bool = false, tier1();
    }
}
