//! Turns events into records.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::filter::Filter;
use super::levels::Levels;
use super::limit::{self, Admission};
use super::record::{Record, SpanValues, Values};
use super::writer::Queue;

/// The layer that all events of the process pass.
pub(super) struct Capture {
    filter: Filter,
    queue: Queue,
}

struct SpanFields(Vec<(&'static str, String)>);

impl Capture {
    pub(super) fn new(levels: Arc<ArcSwap<Levels>>, queue: Queue) -> Self {
        Self { filter: Filter::new(levels), queue }
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Capture {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.filter.interest(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.filter.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&self.filter)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Vec::new();
            attributes.record(&mut SpanValues(&mut fields));
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut SpanValues(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if let Some(limit) = &self.filter.levels().limit {
            match limit.judge(*metadata.level(), Instant::now()) {
                Admission::Write => {}
                Admission::Drop => return,
                Admission::DropFirst => {
                    let values = vec![Some(limit.words())];
                    self.queue.put(Record::now(&limit::METADATA, values, Vec::new()));
                    return;
                }
            }
        }
        let mut values = vec![None; metadata.fields().len()];
        event.record(&mut Values(&mut values));
        let mut spans: Vec<(&'static str, String)> = Vec::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    spans.retain(|(known, _)| known != name);
                    spans.push((name, value.clone()));
                }
            }
        }
        self.queue.put(Record::now(metadata, values, spans));
    }
}
