//! An event on its way to the log.

use std::fmt;
use std::sync::LazyLock;
use std::time::SystemTime;

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use crate::sys::causes::ErrorWithCauses;
use crate::sys::localtime;

/// Fields that oslo.log shows of a request's context, by the name they have in its formats.
pub(super) const CONTEXT: [(&str, &str); 8] = [
    ("request_id", "request_id"),
    ("global_request_id", "global_request_id"),
    ("user", "user_id"),
    ("project", "project_id"),
    ("domain", "domain_id"),
    ("system_scope", "system_scope"),
    ("user_domain", "user_domain_id"),
    ("project_domain", "project_domain_id"),
];

/// Everything about an event that any of the formats needs.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    /// On which it happened.
    pub(super) thread: Thread,
    pub(super) metadata: &'static Metadata<'static>,
    /// One for each of the event's fields, in their order.
    pub(super) values: Vec<Option<Value>>,
    /// Fields of the spans around it, from the outermost; of equal names the innermost.
    pub(super) spans: Vec<(&'static str, String)>,
}

/// A thread as Python's logging shows it.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    /// The kernel's number of it.
    pub(super) id: i32,
    handle: std::thread::Thread,
}

impl Thread {
    fn current() -> Self {
        thread_local! {
            static ID: i32 = nix::unistd::gettid().as_raw();
        }
        Self { id: ID.with(|id| *id), handle: std::thread::current() }
    }

    pub(super) fn name(&self) -> &str {
        self.handle.name().unwrap_or("-")
    }
}

/// The number of this process.
pub(super) static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
/// When the log began.
pub(super) static BEGAN: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// A field's value, kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Record {
    /// Of what happens now, on this thread.
    pub(super) fn now(
        metadata: &'static Metadata<'static>,
        values: Vec<Option<Value>>,
        spans: Vec<(&'static str, String)>,
    ) -> Self {
        Self { time: SystemTime::now(), thread: Thread::current(), metadata, values, spans }
    }

    /// The message.
    pub(super) fn message(&self) -> String {
        self.own("message").map(ToString::to_string).unwrap_or_default()
    }

    /// The logger's name as operators know it.
    pub(super) fn name(&self) -> String {
        logger_name(self.metadata.target())
    }

    /// A field of the event, or of the spans around it.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let own = self.own(name).map(ToString::to_string);
        own.or_else(|| self.around(name).map(str::to_owned))
    }

    fn around(&self, name: &str) -> Option<&str> {
        self.spans.iter().rev().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    /// The event's own fields except the message.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let fields = self.metadata.fields().iter().zip(&self.values);
        fields.filter_map(|(field, value)| Some((field.name(), value.as_ref()?))).filter(|(name, _)| *name != "message")
    }

    /// A field of the request's context, by oslo.log's name for it. The event itself may speak of other users and projects.
    pub(super) fn context(&self, name: &str) -> Option<&str> {
        let (_, field) = CONTEXT.iter().find(|(oslo, _)| *oslo == name)?;
        self.around(field).filter(|value| !value.is_empty())
    }

    /// Milliseconds since the log began.
    pub(super) fn relative(&self) -> f64 {
        self.time.duration_since(*BEGAN).unwrap_or_default().as_secs_f64() * 1e3
    }

    /// When it happened, in the time zone of this host.
    pub(super) fn local_time(&self) -> OffsetDateTime {
        let time = OffsetDateTime::from(self.time);
        let offset = time::UtcOffset::from_whole_seconds(localtime::utc_offset(time.unix_timestamp()));
        offset.map_or(time, |offset| time.to_offset(offset))
    }

    fn own(&self, name: &str) -> Option<&Value> {
        let fields = self.metadata.fields().iter().zip(&self.values);
        fields.filter(|(field, _)| field.name() == name).find_map(|(_, value)| value.as_ref())
    }
}

/// Python's name of a level.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// syslog(3)'s number of a level.
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

/// Keeps the values of an event.
pub(super) struct Values<'a>(pub(super) &'a mut Vec<Option<Value>>);

impl Values<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        if let Some(place) = self.0.get_mut(field.index()) {
            *place = Some(value);
        }
    }
}

impl Visit for Values<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    /// By itself, an error tells no more than what it stands for.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::Text(ErrorWithCauses(value).to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }
}

/// Keeps the values of a span, by name; a later value replaces an earlier one.
pub(super) struct SpanValues<'a>(pub(super) &'a mut Vec<(&'static str, String)>);

impl Visit for SpanValues<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.retain(|(name, _)| *name != field.name());
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The name that operators see: `glance_api::api::images` is `glance.api.images`, as upstream's module would be.
pub(super) fn logger_name(target: &str) -> String {
    let name = target.replace("::", ".");
    match name.strip_prefix("glance_api") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("glance{rest}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_upstream() {
        assert_eq!(logger_name("glance_api::api::v2"), "glance.api.v2");
        assert_eq!(logger_name("glance_api"), "glance");
        assert_eq!(logger_name("sqlx::query"), "sqlx.query");
    }
}
