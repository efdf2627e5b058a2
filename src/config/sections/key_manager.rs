//! `[key_manager]`.

use crate::config::Secret;
use crate::config::option::{section, tier2, tier3};

section! {
    /// Options of `[key_manager]`.
    KeyManagerSection = "key_manager" {
        /// Kind of key manager credential.
        auth_type: Option<String> = None,
            tier2().choices(&["token", "password", "keystone_token", "keystone_password"]);
        /// Keystone URL for keystone credentials.
        auth_url: Option<String> = None, tier2().uri();
        /// castellan key manager: barbican, vault or a class.
        backend: String = "barbican", tier3().old(&[("", "api_class")]);
        /// Domain scope id.
        domain_id: Option<String> = None, tier2();
        /// Domain scope name.
        domain_name: Option<String> = None, tier2();
        /// Password for password credentials.
        password: Option<Secret> = None, tier2().secret();
        /// Project domain id.
        project_domain_id: Option<String> = None, tier2();
        /// Project domain name.
        project_domain_name: Option<String> = None, tier2();
        /// Project scope id.
        project_id: Option<String> = None, tier2();
        /// Project scope name.
        project_name: Option<String> = None, tier2();
        /// Fetch a new token when it expires.
        reauthenticate: bool = true, tier2();
        /// Token for the token credential kinds.
        token: Option<Secret> = None, tier2().secret();
        /// Trust scope.
        trust_id: Option<String> = None, tier2();
        /// User domain id.
        user_domain_id: Option<String> = None, tier2();
        /// User domain name.
        user_domain_name: Option<String> = None, tier2();
        /// User id.
        user_id: Option<String> = None, tier2();
        /// User name for password credentials.
        username: Option<String> = None, tier2();
    }
}
