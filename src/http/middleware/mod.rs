//! The filters between a connection and the routes. Each may answer on the way in, and edit the answer on the way out.

pub(in crate::http) mod audit;
pub(in crate::http) mod context;
pub(in crate::http) mod cors;
pub(in crate::http) mod debug;
pub(in crate::http) mod gzip;
pub(in crate::http) mod identity;
pub(in crate::http) mod proxy;
pub(in crate::http) mod version_negotiation;
