//! Why imports fail, and what is left of them then.

use crate::image::{self, Fault, Plan};
use crate::sys::causes::ErrorWithCauses;

/// Why an import came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    /// For whoever asked for it.
    pub(super) message: String,
    /// The stores to blame, or all.
    pub(super) stores: Vec<String>,
    /// Whether staged data stays, to be imported again.
    pub(super) keeps_staged: bool,
    /// Something of the data may still be in a store.
    pub(super) leaves_something: bool,
}

impl Failed {
    /// Nothing came to the stores.
    pub(super) fn without_data(plan: &Plan, error: &impl ToString) -> Self {
        let (message, stores) = (error.to_string(), plan.stores.clone());
        Self { message, stores, keeps_staged: false, leaves_something: false }
    }

    /// Data cannot be opened, or not be worked on. Where it is not wrong itself, it may be read another time.
    pub(super) fn before_stores(plan: &Plan, error: &impl ToString, is_about_data: bool) -> Self {
        Self { keeps_staged: !is_about_data, ..Self::without_data(plan, error) }
    }

    /// Nothing was begun, so that staged data is as good as before.
    pub(super) fn before_data(plan: &Plan, error: &image::Error) -> Self {
        Self { message: message(error), stores: plan.stores.clone(), keeps_staged: true, leaves_something: false }
    }

    /// `blames_all`: a store that fails takes all others with it.
    pub(super) fn of(fault: Fault, plan: &Plan, blames_all: bool) -> Self {
        let is_of_stores = !fault.stores.is_empty();
        let leaves_something = fault.leaves_something();
        let stores = if is_of_stores && !blames_all { fault.stores.clone() } else { plan.stores.clone() };
        // Where not all stores must succeed, upstream removes the staged data before it looks whether one has.
        let keeps_staged = if is_of_stores { plan.needs_all } else { !fault.is_about_data() };
        Self { message: message(&fault.error), stores, keeps_staged, leaves_something }
    }
}

/// What went wrong, in words that name the cause.
fn message(error: &image::Error) -> String {
    match error {
        image::Error::Client(cause) => format!("The data did not come whole: {cause}"),
        other => ErrorWithCauses(other).to_string(),
    }
}
