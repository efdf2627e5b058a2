//! Tokens that are bound to another kind of authentication (upstream: `_confirm_token_bind` in keystonemiddleware).

use crate::keystone::Token;

/// `enforce_token_bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Disabled,
    /// Unknown kinds are ignored.
    Permissive,
    /// Unknown kinds are refused.
    Strict,
    /// A token must be bound, to this kind if one is given.
    Required(Option<String>),
}

impl From<&str> for Binding {
    fn from(text: &str) -> Self {
        match text {
            "disabled" => Self::Disabled,
            "permissive" => Self::Permissive,
            "strict" => Self::Strict,
            "required" => Self::Required(None),
            kind => Self::Required(Some(kind.to_owned())),
        }
    }
}

impl Binding {
    /// Whether the token may be used. No server in front tells us that a client has authenticated otherwise, so a token that is
    /// bound to Kerberos never may.
    pub(super) fn confirms(&self, token: &Token) -> bool {
        if *self == Self::Disabled {
            return true;
        }
        let kinds = || token.bind.iter().flat_map(|bind| bind.keys());
        let required = match self {
            Self::Required(Some(kind)) => kinds().any(|known| known == kind),
            Self::Required(None) => kinds().next().is_some(),
            _ => true,
        };
        required && kinds().all(|kind| kind != "kerberos" && *self == Self::Permissive)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bindings_are_confirmed() {
        for (mode, unbound, other, kerberos) in [
            ("disabled", true, true, true),
            ("permissive", true, true, false),
            ("strict", true, false, false),
            ("required", false, false, false),
            ("other", false, false, false),
        ] {
            for (bind, expected) in [
                (json!(null), unbound),
                (json!({}), unbound),
                (json!({"other": 1}), other),
                (json!({"kerberos": "u"}), kerberos),
            ] {
                let token = json!({"expires_at": "2000-01-01T00:00:00Z", "user": {"id": "u"}, "bind": bind});
                let token: Token = serde_json::from_value(token).unwrap();
                assert_eq!(Binding::from(mode).confirms(&token), expected, "{mode} {bind}");
            }
        }
    }
}
