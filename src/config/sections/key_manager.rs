//! `[key_manager]`.

use crate::config::Secret;
use crate::config::option::{section, tier2};

/// castellan has them for programs that act on nobody's behalf.
const CALLER: &str = "the key manager is asked with the caller's token, as upstream has it";

/// What names Barbican: its name, and the class of which older files speak.
const BARBICAN: [&str; 2] = ["barbican", "castellan.key_manager.barbican_key_manager.BarbicanKeyManager"];

section! {
    /// Options of `[key_manager]`.
    KeyManagerSection = "key_manager" {
        /// Kind of key manager credential.
        auth_type: Option<String> = None,
            tier2().choices(&["token", "password", "keystone_token", "keystone_password"]).idle(CALLER);
        /// Keystone URL for keystone credentials.
        auth_url: Option<String> = None, tier2().uri();
        /// castellan key manager: barbican, vault or a class.
        backend: String = "barbican", tier2().old(&[("", "api_class")]);
        /// Domain scope id.
        domain_id: Option<String> = None, tier2().idle(CALLER);
        /// Domain scope name.
        domain_name: Option<String> = None, tier2().idle(CALLER);
        /// Password for password credentials.
        password: Option<Secret> = None, tier2().secret().idle(CALLER);
        /// Project domain id.
        project_domain_id: Option<String> = None, tier2().idle(CALLER);
        /// Project domain name.
        project_domain_name: Option<String> = None, tier2().idle(CALLER);
        /// Project scope id.
        project_id: Option<String> = None, tier2().idle(CALLER);
        /// Project scope name.
        project_name: Option<String> = None, tier2().idle(CALLER);
        /// Fetch a new token when it expires.
        reauthenticate: bool = true, tier2().idle(CALLER);
        /// Token for the token credential kinds.
        token: Option<Secret> = None, tier2().secret().idle(CALLER);
        /// Trust scope.
        trust_id: Option<String> = None, tier2().idle(CALLER);
        /// User domain id.
        user_domain_id: Option<String> = None, tier2().idle(CALLER);
        /// User domain name.
        user_domain_name: Option<String> = None, tier2().idle(CALLER);
        /// User id.
        user_id: Option<String> = None, tier2().idle(CALLER);
        /// User name for password credentials.
        username: Option<String> = None, tier2().idle(CALLER);
    }
}

impl KeyManagerSection {
    /// Whether Barbican has the keys.
    pub fn is_barbican(&self) -> bool {
        BARBICAN.contains(&self.backend.as_str())
    }
}
