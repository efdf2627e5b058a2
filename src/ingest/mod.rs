//! Taking image data in: a stream becomes durable data in one or several stores, with its digests and what an inspector saw.
//!
//! [`Ingest::begin`] opens a writer in each store, [`Ingest::pour`] reads the stream to its end, and then the caller, who
//! knows what the data is for, either makes it durable ([`Poured::commit`]) or throws it away ([`Poured::discard`]). Nothing here knows a
//! database: what becomes of an image's row is up to the caller, and so is how much data may come ([`Allowance`]).

mod allowance;
mod error;
mod fan_out;
mod pour;
mod steps;

#[cfg(test)]
mod fake;

pub(crate) use allowance::Allowance;
pub(crate) use error::{FailedStores, IngestError};
pub(crate) use fan_out::{Destination, Lost, Needed};
pub(crate) use pour::{Ingest, Ingested, Order, Poured};
