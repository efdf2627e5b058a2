//! Identifies callers: Keystone validates their tokens, the policy says who is an administrator.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};

use super::middleware::identity::{Identified, Identify};
use crate::identity::Authenticator;
use crate::policy::Enforcer;

/// Callers as the cloud's Keystone and the policy in force know them.
pub(crate) struct Callers {
    authenticator: Arc<Authenticator>,
    enforcer: Enforcer,
}

impl Callers {
    pub(crate) fn new(authenticator: Arc<Authenticator>, enforcer: Enforcer) -> Self {
        Self { authenticator, enforcer }
    }
}

impl Identify for Callers {
    fn identify<'a>(&'a self, method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Identified<'a> {
        Box::pin(async move {
            let Some(mut context) = self.authenticator.authenticate(method, path, headers).await? else {
                return Ok(None);
            };
            context.is_admin = self.enforcer.rules().await.is_admin(&context).await?;
            Ok(Some(context))
        })
    }

    fn challenge(&self) -> Option<HeaderValue> {
        self.authenticator.challenge()
    }
}
