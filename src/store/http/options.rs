//! What an HTTP store can be told.

use crate::config::option::{options, tier1};

options! {
    /// Options of stores of type `http`.
    pub(in crate::store) HttpOptions {
        /// Proxy per scheme for the HTTP store.
        http_proxy_information: Vec<(String, String)> = [], tier1().urls();
        /// CA bundle for the read-only HTTP store.
        https_ca_certificates_file: Option<String> = None, tier1().file();
        /// Do not verify HTTPS in the HTTP store (insecure by default; ignored when a CA file is set).
        https_insecure: bool = true, tier1();
    }
}
