//! Records as structured entries of the journal.
//!
//! tracing-journald sends from the thread on which an event happens, on a socket that blocks. Here it runs on the thread
//! that writes the log: each record is made an event again, for a subscriber that has nothing but the journal.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::field::Value as Field;
use tracing::{Dispatch, Event};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

use super::filter::Filter;
use super::levels::Levels;
use super::record::{Record, Value};

/// The line to journald.
#[derive(Clone, Debug)]
pub(super) struct Journal(Dispatch);

impl Journal {
    /// `levels`: those of the log; without them every disabled event of the process would be looked at again.
    ///
    /// # Errors
    /// There is no journal here.
    pub(super) fn open(levels: &Arc<ArcSwap<Levels>>) -> std::io::Result<Self> {
        let layer = tracing_journald::layer()?
            .with_syslog_identifier("glance-api".to_owned())
            .with_field_prefix(Some("GLANCE".to_owned()))
            .with_priority_mappings(PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            });
        Ok(Self(Dispatch::new(Registry::default().with(Filter::new(Arc::clone(levels))).with(layer))))
    }

    pub(super) fn write(&self, record: &Record) {
        let values: Vec<Option<&dyn Field>> = record.values.iter().map(|value| value.as_ref().map(field)).collect();
        tracing::dispatcher::with_default(&self.0, || {
            let _around = around(record).map(tracing::Span::entered);
            let fields = record.metadata.fields();
            Event::dispatch(record.metadata, &fields.value_set_all(&values));
        });
    }
}

fn field(value: &Value) -> &dyn Field {
    match value {
        Value::Text(text) => text,
        Value::Signed(number) => number,
        Value::Unsigned(number) => number,
        Value::Float(number) => number,
        Value::Bool(truth) => truth,
    }
}

/// The fields of the spans around a record that administrators filter by.
fn around(record: &Record) -> Option<tracing::Span> {
    if record.spans.is_empty() {
        return None;
    }
    let of = |name: &str| record.spans.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
    Some(tracing::info_span!(
        "request",
        request_id = of("request_id"),
        global_request_id = of("global_request_id"),
        user_id = of("user_id"),
        project_id = of("project_id"),
        domain_id = of("domain_id"),
        system_scope = of("system_scope"),
        user_domain_id = of("user_domain_id"),
        project_domain_id = of("project_domain_id"),
        method = of("method"),
        path = of("path"),
        endpoint = of("endpoint"),
        image_id = of("image_id"),
        store = of("store"),
        task_id = of("task_id"),
    ))
}
