//! On whose behalf a store works.

use std::any::Any;
use std::sync::Arc;

use crate::identity::Context;

/// Whether a request waits for work on image data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// It does: a client that sends or gets data is told when it is done.
    #[default]
    Request,
    /// None does: tasks import, copy, convert and digest data. Threads of this priority give way to all others.
    Background,
}

/// What a store is told beside the object: some keep an image in its owner's account, or ask other services with the caller's
/// token (multi-tenant Swift, Cinder).
#[derive(Clone, Debug, Default)]
pub struct StoreContext {
    /// The project that owns the image; `None` where it has no owner or is not known.
    pub owner: Option<String>,
    /// Who asks, with token, roles and service catalog; `None` where the service works by itself (recovery, housekeeping).
    pub caller: Option<Arc<Context>>,
    pub priority: Priority,
    /// Kept for as long as the store works on this, also when nobody waits for it any more.
    pub(super) kept: Kept,
}

/// Something that others wait for to be dropped.
pub(super) type Kept = Option<Arc<dyn Any + Send + Sync>>;

impl StoreContext {
    /// For work on an image of this owner.
    pub fn new(owner: Option<&str>, caller: Option<&Arc<Context>>) -> Self {
        Self { owner: owner.map(str::to_owned), caller: caller.cloned(), ..Self::default() }
    }

    /// The same with another priority than [`Priority::Request`].
    #[must_use]
    pub(crate) fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same; what writes and deletions do by its order keeps `thing`, to their very end.
    #[must_use]
    pub(crate) fn keeping(self, thing: Arc<dyn Any + Send + Sync>) -> Self {
        Self { kept: Some(thing), ..self }
    }
}
