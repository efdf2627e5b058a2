//! Requests to other services: the program's one HTTP client.
//!
//! An [`Outgoing`] is made of [`Options`], which decide for all of its requests whom TLS trusts, how long they may take, where
//! redirects may lead, and, where URLs come from users, which servers may be asked. A [`Request`] gets an [`Answer`], whose body
//! is read up to a bound that the caller names, or as a stream.

mod answer;
mod approved;
mod certificates;
mod client;
mod error;
mod options;
mod reach;
mod request;
mod resolver;
mod url_filter;

pub(crate) use answer::Answer;
pub(crate) use client::Outgoing;
pub(crate) use error::{ClientError, RequestError, TlsPart};
pub(crate) use options::{Options, Proxies, Redirects, Timeout, Tls};
pub(crate) use url_filter::{Refused, UrlFilter};

#[cfg(test)]
pub(crate) use resolver::tests::Changing;

#[cfg(test)]
mod tests;
