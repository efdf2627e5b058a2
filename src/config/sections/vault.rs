//! `[vault]`.

use crate::config::Secret;
use crate::config::option::{section, tier3};

section! {
    /// Options of `[vault]`.
    VaultSection = "vault" {
        /// AppRole role id.
        approle_role_id: Option<Secret> = None, tier3().secret();
        /// AppRole secret id.
        approle_secret_id: Option<Secret> = None, tier3().secret();
        /// Vault login method.
        auth_method: String = "approle", tier3().choices(&["approle", "jwt", "kubernetes"]);
        /// Mount path of the login method.
        auth_path: Option<String> = None, tier3();
        /// KV mount.
        kv_mountpoint: String = "secret", tier3();
        /// Path prefix inside the KV mount.
        kv_path: Option<String> = None, tier3();
        /// KV engine version.
        kv_version: i64 = 2, tier3().min(1.0).max(2.0);
        /// Vault namespace.
        namespace: Option<String> = None, tier3();
        /// Vault root token.
        root_token_id: Option<Secret> = None, tier3().secret();
        /// CA for Vault.
        ssl_ca_crt_file: Option<String> = None, tier3().file();
        /// Request timeout in seconds.
        timeout: f64 = 60.0, tier3();
        /// File with the JWT.
        token_file: Option<String> = None, tier3().file();
        /// Kubernetes/JWT role.
        token_role: Option<String> = None, tier3();
        /// Old switch for TLS to Vault.
        use_ssl: bool = false, tier3().deprecated();
        /// Vault URL.
        vault_url: String = "http://127.0.0.1:8200", tier3().uri();
    }
}
