use std::io;
use std::path::PathBuf;

use super::evaluate::Failure;
use crate::keystone::outgoing::RequestError;

/// A policy file cannot be used, or a rule cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("policy file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("policy file {}: more than {limit} bytes", path.display())]
    Size { path: PathBuf, limit: u64 },
    #[error("policy file {}: {source}", path.display())]
    Syntax { path: PathBuf, source: serde_norway::Error },
    #[error("policy file {}: rule {rule}: {found} where a check or a list of checks is expected", path.display())]
    Value { path: PathBuf, rule: String, found: &'static str },
    #[error("[oslo_policy] policy_dirs: {} is no directory", path.display())]
    Directory { path: PathBuf },
    /// Code asked for a rule that Glance does not register.
    #[error("policy {rule} has not been registered")]
    Unregistered { rule: String },
    /// Upstream answers 500 then; nobody is allowed anything.
    #[error("policy {rule} cannot be evaluated: {source}")]
    Evaluation { rule: String, source: Failure },
    #[error("policy {rule}: the remote check failed: {source}")]
    Remote { rule: String, source: RequestError },
}
