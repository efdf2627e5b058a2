//! What a store in Ceph can be told.

use crate::config::option::{options, tier1};

options! {
    /// Options of stores of type `rbd`.
    pub(in crate::store) RbdOptions {
        /// Seconds for mon, osd and mount timeouts; negative leaves the library defaults.
        rados_connect_timeout: i64 = -1, tier1();
        /// Path of ceph.conf; empty means the library's search path.
        rbd_store_ceph_conf: String = "", tier1().file();
        /// RBD object and I/O size in MiB; must be a power of two.
        rbd_store_chunk_size: i64 = 8, tier1().min(1.0);
        /// Ceph pool.
        rbd_store_pool: String = "images", tier1();
        /// Ceph user.
        rbd_store_user: Option<String> = None, tier1();
        /// Skip writing all-zero chunks.
        rbd_thin_provisioning: bool = false, tier1();
    }
}
