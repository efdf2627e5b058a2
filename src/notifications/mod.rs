//! What happens to images and metadata definitions, told to whoever listens: the log today; a message bus, an audit or counters are further listeners.
//!
//! The domain emits an [`Event`] at each of its transitions, once it has taken effect. The listeners are given by whoever puts the
//! service together. They are called on the spot, so an event borrows what it speaks of and costs nothing but the calls.

mod event;
mod log;
mod metadef;
mod notifier;

pub(crate) use event::{Change, Event, ImageEvent, Receiver, Subject};
pub(crate) use log::LogListener;
pub(crate) use metadef::{MetadefChange, MetadefEvent, MetadefPart};
pub(crate) use notifier::{Listener, Notifier};
