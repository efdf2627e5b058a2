//! Who is asking: Keystone token validation and the context of a request.

mod context;

pub use context::Context;
