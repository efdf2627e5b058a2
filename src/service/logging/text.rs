//! Records as lines of text, in oslo.log's formats.

use std::fmt::Write as _;

use tracing::Level;

use super::date::strftime;
use super::record::{PROCESS, Record, level_name};
use super::template::Template;
use crate::config::DefaultSection;

/// The formats of the configuration, taken apart.
#[derive(Clone, Debug)]
pub(super) struct TextFormat {
    date: String,
    with_context: Template,
    without_context: Template,
    identity: Template,
    debug_suffix: Template,
}

impl TextFormat {
    pub(super) fn new(options: &DefaultSection) -> Self {
        Self {
            date: options.log_date_format.clone(),
            with_context: Template::new(&options.logging_context_format_string),
            without_context: Template::new(&options.logging_default_format_string),
            identity: Template::new(&options.logging_user_identity_format),
            debug_suffix: Template::new(&options.logging_debug_format_suffix),
        }
    }

    /// One line, without its end.
    pub(super) fn line(&self, record: &Record) -> String {
        let template = if record.context("request_id").is_some() { &self.with_context } else { &self.without_context };
        let time = record.local_time();
        let value = |name: &str| match name {
            "asctime" => strftime(&self.date, time),
            "msecs" => time.millisecond().to_string(),
            "created" => format!("{}.{:06}", time.unix_timestamp(), time.microsecond()),
            "relativeCreated" => format!("{:.0}", record.relative()),
            "thread" => record.thread.id.to_string(),
            "threadName" => record.thread.name().to_owned(),
            "process" => PROCESS.to_string(),
            "levelname" => level_name(*record.metadata.level()).to_owned(),
            "name" => record.name(),
            "message" => message(record),
            "user_identity" => self.identity.fill(|name| context(record, name)),
            "pathname" => record.metadata.file().unwrap_or("-").to_owned(),
            "filename" => file_name(record).to_owned(),
            "lineno" => record.metadata.line().unwrap_or(0).to_string(),
            "module" => record.metadata.module_path().unwrap_or("-").to_owned(),
            // Prefixes of records about an instance, which this service never has.
            "instance" | "resource" => String::new(),
            name => context(record, name),
        };
        let mut line = template.fill(value);
        if *record.metadata.level() >= Level::DEBUG {
            let suffix = self.debug_suffix.fill(value);
            if !suffix.is_empty() {
                line.push(' ');
                line.push_str(&suffix);
            }
        }
        line
    }
}

/// The target of the access log, whose messages say in words all that their fields do.
const ACCESS: &str = "glance_api::access";

/// The message with the event's own fields behind it, on one line whatever it contains.
pub(super) fn message(record: &Record) -> String {
    let mut text = one_line(&record.message());
    if record.metadata.target() == ACCESS {
        return text;
    }
    for (name, value) in record.fields() {
        let _ = write!(text, " {name}={}", one_line(&value.to_string()));
    }
    text
}

pub(super) fn file_name(record: &Record) -> &'static str {
    let path = record.metadata.file().unwrap_or("-");
    path.rsplit('/').next().unwrap_or(path)
}

/// Nobody can make a line that looks like another record.
fn one_line(text: &str) -> String {
    if !text.contains(|character: char| character.is_control()) {
        return text.to_owned();
    }
    text.chars().fold(String::new(), |mut line, character| {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        line
    })
}

fn context(record: &Record, name: &str) -> String {
    record.context(name).map_or_else(|| "-".to_owned(), one_line)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
    use tracing_subscriber::registry::Registry;

    use super::super::record::{Value, Values};
    use super::*;

    /// The record that an event makes, at a fixed time and without its spans.
    pub(in super::super) fn record(event: impl FnOnce()) -> Record {
        struct Keep(Arc<Mutex<Option<Record>>>);
        impl<S: Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let metadata = event.metadata();
                let mut values: Vec<Option<Value>> = vec![None; metadata.fields().len()];
                event.record(&mut Values(&mut values));
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_892_309_012);
                *self.0.lock().unwrap() = Some(Record { time, ..Record::now(metadata, values, Vec::new()) });
            }
        }
        let kept = Arc::new(Mutex::new(None));
        tracing::subscriber::with_default(Registry::default().with(Keep(Arc::clone(&kept))), event);
        kept.lock().unwrap().take().unwrap()
    }

    fn without_time(line: &str) -> String {
        line.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')).map(|(_, rest)| rest.to_owned()).unwrap()
    }

    #[test]
    fn lines_look_like_those_of_upstream() {
        let format = TextFormat::new(&DefaultSection::default());
        let pid = std::process::id();
        let plain = record(|| tracing::warn!(store = "fast", bytes = 3, "store is slow"));
        let line = format.line(&plain);
        assert!(line.contains(".012 "), "milliseconds: {line}");
        let name = "glance.service.logging.text.tests";
        assert_eq!(without_time(&line), format!("{pid} WARNING {name} [-] store is slow store=fast bytes=3"));

        let mut in_request = record(|| tracing::info!(user_id = "other", "done"));
        let context = [("request_id", "req-1"), ("user_id", "u"), ("project_id", "p"), ("user_domain_id", "d")];
        in_request.spans.extend(context.map(|(name, value)| (name, value.to_owned())));
        let expected = format!("{pid} INFO {name} [- req-1 u p - - d -] done user_id=other");
        assert_eq!(without_time(&format.line(&in_request)), expected);

        let detailed = record(|| tracing::debug!("detail"));
        assert!(format.line(&detailed).contains("detail - src/service/logging/text.rs:"), "{}", format.line(&detailed));
    }

    #[test]
    fn the_access_log_does_not_repeat_itself() {
        let access = record(|| tracing::info!(target: ACCESS, status = 200, "\"GET /\" 200"));
        assert_eq!(message(&access), "\"GET /\" 200");
    }

    #[test]
    fn formats_may_name_the_thread_and_the_time_since_the_start() {
        let logging_default_format_string = "%(thread)d %(threadName)s %(relativeCreated)d|".to_owned();
        let options = DefaultSection { logging_default_format_string, ..DefaultSection::default() };
        let line = TextFormat::new(&options).line(&record(|| tracing::info!("here")));
        let thread = std::thread::current();
        assert_eq!(line, format!("{} {} 0|", nix::unistd::gettid(), thread.name().unwrap_or("-")));
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("it cannot be read")]
        struct Unreadable(#[source] std::io::Error);
        let error: &(dyn std::error::Error + 'static) = &Unreadable(std::io::ErrorKind::PermissionDenied.into());
        let told = record(|| tracing::warn!(error, "left alone"));
        assert_eq!(message(&told), "left alone error=it cannot be read: permission denied");
    }

    #[test]
    fn a_record_cannot_forge_another() {
        let forged = record(|| tracing::info!(image = "a\n2026-01-01 ERROR", "first\nsecond\u{1b}[31m"));
        assert_eq!(message(&forged), "first\\nsecond\\u{1b}[31m image=a\\n2026-01-01 ERROR");
    }
}
