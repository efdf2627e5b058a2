//! Images in datastores of vSphere.

use super::super::driver::Driver;
use super::absent;
use crate::config::Secret;
use crate::config::option::{Options, options, tier3};

pub(in crate::store) const DRIVER: Driver =
    absent("vmware", "glance.store.vmware_datastore.Store", &["vsphere"], VmwareOptions::OPTIONS, |_| None);

options! {
    /// Options of stores of type `vmware`.
    VmwareOptions {
        /// Retries of vSphere calls.
        vmware_api_retry_count: i64 = 10, tier3().min(1.0);
        /// CA bundle for vSphere.
        vmware_ca_file: Option<String> = None, tier3().file();
        /// datacenter:datastore:weight entries.
        vmware_datastores: Vec<String> = [], tier3().multi();
        /// Skip vSphere certificate verification.
        vmware_insecure: bool = false, tier3().old(&[("", "vmware_api_insecure")]);
        /// vCenter or ESXi host, optionally with port.
        vmware_server_host: Option<String> = None, tier3().host();
        /// vSphere password.
        vmware_server_password: Option<Secret> = None, tier3().secret();
        /// vSphere user.
        vmware_server_username: Option<String> = None, tier3();
        /// Datastore folder for images.
        vmware_store_image_dir: String = "/openstack_glance", tier3();
        /// Seconds between polls of a vSphere task.
        vmware_task_poll_interval: i64 = 5, tier3().min(1.0);
    }
}
