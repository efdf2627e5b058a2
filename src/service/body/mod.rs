//! Bodies between the application and hyper: limits on time for requests, accounts and zero-copy for responses.

mod chunk;
mod lane;
mod region;
mod request;
mod response;
mod tally;

pub(super) use lane::{Lane, Window, is_sentinel};
pub(super) use request::RequestBody;
pub(super) use response::ResponseBody;
