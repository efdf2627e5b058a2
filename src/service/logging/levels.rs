//! Which events are worth a record: `debug` and `default_log_levels`, and how many.

use tracing::{Level, level_filters::LevelFilter};

use super::error::LogError;
use super::limit::Limit;
use super::record::logger_name;
use crate::config::DefaultSection;

/// Python loggers that operators know, and what does their work here.
const COUNTERPARTS: [(&str, &str); 9] = [
    ("sqlalchemy", "sqlx"),
    ("sqlalchemy.engine", "sqlx.query"),
    ("keystonemiddleware", "glance.identity"),
    ("keystonemiddleware.audit", "glance.audit"),
    ("oslo_policy", "glance.policy"),
    ("taskflow", "glance.task"),
    ("urllib3.connectionpool", "hyper_util"),
    ("amqp", "lapin"),
    ("eventlet.wsgi.server", "glance.access"),
];

/// A level for everything, and others for parts of it.
#[derive(Debug)]
pub(super) struct Levels {
    ours: LevelFilter,
    /// Libraries are less talkative: what they say in detail concerns their own developers.
    others: LevelFilter,
    /// Logger names with levels, the most specific first.
    named: Vec<(String, LevelFilter)>,
    /// How many are recorded.
    pub(super) limit: Option<Limit>,
}

impl Levels {
    /// # Errors
    /// An entry of `default_log_levels` that names no level.
    pub(super) fn new(options: &DefaultSection) -> Result<Self, LogError> {
        let (ours, others) = if options.debug {
            (LevelFilter::DEBUG, LevelFilter::INFO)
        } else {
            (LevelFilter::INFO, LevelFilter::WARN)
        };
        let mut named = Vec::new();
        for entry in &options.default_log_levels {
            let parsed = entry.split_once('=').and_then(|(name, level)| Some((name.trim(), level_of(level.trim())?)));
            let (name, level) = parsed.ok_or_else(|| LogError::Level(entry.clone()))?;
            let counterparts = COUNTERPARTS.iter().filter(|(python, _)| *python == name).map(|(_, ours)| *ours);
            named.extend(counterparts.chain([name]).map(|name| (name.to_owned(), level)));
        }
        named.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(Self { ours, others, named, limit: Limit::new(options) })
    }

    /// Whether an event of this target and level is recorded.
    pub(super) fn allow(&self, target: &str, level: Level) -> bool {
        let name = logger_name(target);
        let named = self.named.iter().find(|(prefix, _)| {
            name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let default = if name == "glance" || name.starts_with("glance.") { self.ours } else { self.others };
        level <= named.map_or(default, |(_, level)| *level)
    }

    /// No event beyond this level is recorded.
    pub(super) fn most(&self) -> LevelFilter {
        let named = self.named.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::OFF);
        self.ours.max(self.others).max(named)
    }
}

/// Python's names and numbers.
fn level_of(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => LevelFilter::ERROR,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        "TRACE" | "NOTSET" => LevelFilter::TRACE,
        number => match number.parse::<i32>().ok()? {
            40.. => LevelFilter::ERROR,
            30.. => LevelFilter::WARN,
            20.. => LevelFilter::INFO,
            10.. => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_name_decides() {
        let levels = |debug, entries: &[&str]| {
            let default_log_levels = entries.iter().map(|entry| (*entry).to_owned()).collect();
            Levels::new(&DefaultSection { debug, default_log_levels, ..DefaultSection::default() }).unwrap()
        };
        let cases: [(bool, &[&str], &str, Level, bool); 14] = [
            (false, &[], "glance_api::api", Level::INFO, true),
            (false, &[], "glance_api::api", Level::DEBUG, false),
            (true, &[], "glance_api::api", Level::DEBUG, true),
            (false, &[], "hyper::proto", Level::INFO, false),
            (true, &[], "hyper::proto", Level::DEBUG, false),
            (false, &["hyper=DEBUG"], "hyper::proto", Level::DEBUG, true),
            (false, &["hyper=DEBUG"], "hyper_util::client", Level::DEBUG, false),
            (true, &["glance=ERROR", "glance.api=INFO"], "glance_api::api::x", Level::INFO, true),
            (true, &["glance=ERROR", "glance.api=INFO"], "glance_api::db", Level::WARN, false),
            (true, &["sqlalchemy=WARN"], "sqlx::query", Level::INFO, false),
            (false, &["glance.db = 10"], "glance_api::db", Level::DEBUG, true),
            (false, &["keystonemiddleware=warning"], "glance_api::identity", Level::INFO, false),
            (false, &["keystonemiddleware=warning"], "glance.audit", Level::INFO, true),
            (false, &["keystonemiddleware.audit=warning"], "glance.audit", Level::INFO, false),
        ];
        for (debug, entries, target, level, allowed) in cases {
            assert_eq!(levels(debug, entries).allow(target, level), allowed, "{entries:?} {target} {level}");
        }
        assert_eq!(levels(false, &["hyper=5"]).most(), LevelFilter::TRACE);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for entry in ["glance", "glance=LOUD", "="] {
            let options = DefaultSection { default_log_levels: vec![entry.to_owned()], ..DefaultSection::default() };
            assert!(matches!(Levels::new(&options), Err(LogError::Level(named)) if named == entry));
        }
    }

    #[test]
    fn the_built_in_list_is_understood() {
        Levels::new(&DefaultSection::default()).unwrap();
    }
}
