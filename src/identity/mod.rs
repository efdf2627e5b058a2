//! Who is asking: Keystone token validation and the context of a request.

mod context;
pub mod outgoing;

pub use context::{Context, ServiceUser};
