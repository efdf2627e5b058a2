//! The health check (upstream: `oslo_middleware/healthcheck`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::accept::{self, Accept};
use super::exchange::Exchange;
use super::pipeline;
use crate::api::{Body, Error, Response};
use crate::config::HealthcheckSection;
use crate::db::Db;

/// Headers that only a proxy sets.
const PROXIED: [&str; 6] =
    ["forwarded", "x-forwarded", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-for", "x-forwarded-prefix"];

/// A database that can be asked whether it is there.
pub(crate) trait Reachable: Send + Sync {
    /// Whether it answers.
    ///
    /// # Errors
    /// Why not, in words that anybody may read: they tell nothing of where it is.
    fn reach(&self) -> BoxFuture<'_, Result<(), String>>;
}

impl Reachable for Db {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.ping().await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// Answers whether this service is to be used.
#[derive(Clone, Debug)]
pub(in crate::http) struct HealthCheck {
    checks: Vec<Check>,
    detailed: bool,
    /// Empty: everybody may ask.
    sources: Vec<IpNet>,
    ignore_proxied_requests: bool,
}

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HealthOptionError(String);

#[derive(Clone, Debug)]
enum Check {
    DisableByFile(String),
    DisableByFilesPorts(BTreeMap<u16, String>),
    EnableByFiles(Vec<String>),
    /// Not one of upstream's.
    Database,
}

/// What one check says.
#[derive(Serialize)]
struct CheckResult {
    #[serde(skip)]
    available: bool,
    class: &'static str,
    details: String,
    reason: &'static str,
}

impl HealthCheck {
    /// `local`: options beside the application in a paste file, which count before the section's.
    ///
    /// # Errors
    /// Checks that exclude each other, a port or a network that is none.
    pub(in crate::http) fn new(
        section: &HealthcheckSection,
        local: &BTreeMap<String, String>,
    ) -> Result<Self, HealthOptionError> {
        let list = |name: &str, given: &[String]| local.get(name).map_or_else(|| given.to_vec(), |text| split(text));
        let flag = |name, given| {
            pipeline::flag(local, name, given).map_err(|wrong| HealthOptionError(format!("healthcheck: {wrong}")))
        };
        let wrong = |name: &str, reason: String| {
            let place = if local.contains_key(name) { "healthcheck:" } else { "[healthcheck]" };
            HealthOptionError(format!("{place} {name}: {reason}"))
        };
        let backends = list("backends", &section.backends);
        let has = |name: &str| backends.iter().any(|backend| backend == name);
        if has("disable_by_file") && has("enable_by_files") {
            return Err(wrong("backends", "disable_by_file and enable_by_files exclude each other".to_owned()));
        }
        let mut checks = Vec::new();
        for backend in &backends {
            match backend.as_str() {
                "disable_by_file" => {
                    let path = local.get("disable_by_file_path").unwrap_or(&section.disable_by_file_path);
                    checks.push(Check::DisableByFile(path.clone()));
                }
                "disable_by_files_ports" => {
                    let paths = list("disable_by_file_paths", &section.disable_by_file_paths);
                    let by_port = by_port(&paths).map_err(|reason| wrong("disable_by_file_paths", reason))?;
                    checks.push(Check::DisableByFilesPorts(by_port));
                }
                "enable_by_files" => {
                    checks.push(Check::EnableByFiles(list("enable_by_file_paths", &section.enable_by_file_paths)));
                }
                "database" => checks.push(Check::Database),
                other => tracing::warn!(backend = other, "unknown health check backend, left out"),
            }
        }
        let sources = list("allowed_source_ranges", &section.allowed_source_ranges);
        let sources = sources.iter().map(|text| network(text)).collect::<Result<_, _>>();
        Ok(Self {
            checks,
            detailed: flag("detailed", section.detailed)?,
            sources: sources.map_err(|reason| wrong("allowed_source_ranges", reason))?,
            ignore_proxied_requests: flag("ignore_proxied_requests", section.ignore_proxied_requests)?,
        })
    }

    /// # Errors
    /// 403 for those who may not ask, where upstream crashes.
    pub(in crate::http) async fn answer(
        &self,
        exchange: &Exchange,
        database: &dyn Reachable,
    ) -> Result<Response, Error> {
        let from = exchange.peer.map(|peer| peer.ip().to_canonical());
        let is_known =
            self.sources.is_empty() || self.sources.iter().any(|network| from.is_some_and(|ip| network.contains(&ip)));
        let is_proxied = PROXIED.iter().any(|name| exchange.headers.contains_key(*name));
        if !is_known || (self.ignore_proxied_requests && is_proxied) {
            return Err(Error::stock(StatusCode::FORBIDDEN));
        }
        let mut results = Vec::with_capacity(self.checks.len());
        for check in &self.checks {
            results.push(check.check(exchange.port, database).await);
        }
        let is_healthy = results.iter().all(|check| check.available);
        let status = match (is_healthy, &exchange.method) {
            (false, _) => StatusCode::SERVICE_UNAVAILABLE,
            (true, &Method::HEAD) => StatusCode::NO_CONTENT,
            (true, _) => StatusCode::OK,
        };
        self.render(exchange, status, &results)
    }

    fn render(&self, exchange: &Exchange, status: StatusCode, results: &[CheckResult]) -> Result<Response, Error> {
        let header = accept::header(&exchange.headers);
        let offers = ["text/plain", "text/html", "application/json"];
        let best = Accept::parse(header.as_deref()).best(&offers);
        let (content_type, text) = match best {
            _ if exchange.method == Method::HEAD => ("text/plain; charset=UTF-8", String::new()),
            Some("text/html") => ("text/html; charset=UTF-8", self.html(results)),
            Some("application/json") => ("application/json", self.json(results).map_err(Error::internal)?),
            _ => ("text/plain; charset=UTF-8", plain(results)),
        };
        let body = if text.is_empty() { Body::Empty } else { Body::Bytes(Bytes::from(text)) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if status != StatusCode::NO_CONTENT {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Ok(response)
    }

    /// Indented by four, keys in order, as Python's `json.dumps` writes it.
    fn json(&self, results: &[CheckResult]) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Document<'a, R> {
            detailed: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            now: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            platform: Option<String>,
            reasons: R,
            #[serde(skip_serializing_if = "Option::is_none")]
            version: Option<&'a str>,
        }
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        if self.detailed {
            let (now, platform, version) = (Some(now()), Some(platform()), Some(VERSION));
            Document { detailed: true, now, platform, reasons: results, version }.serialize(&mut serializer)?;
        } else {
            let reasons: Vec<_> = results.iter().map(|check| check.reason).collect();
            Document { detailed: false, now: None, platform: None, reasons, version: None }
                .serialize(&mut serializer)?;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Upstream's page, without what only Python has to tell.
    fn html(&self, results: &[CheckResult]) -> String {
        let mut page = "<HTML>\n<HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n".to_owned();
        let mut put = |text: std::fmt::Arguments<'_>| page.write_fmt(text).unwrap_or_default();
        if self.detailed {
            put(format_args!("<H1>Server status</H1>\n<B>Current time:</B><PRE>{}</PRE>\n", now()));
            put(format_args!(
                "<B>Version:</B><PRE>{VERSION}</PRE>\n<B>Platform:</B><PRE>{}</PRE>\n<HR></HR>",
                platform()
            ));
        }
        put(format_args!("\n<H2>Result of {} checks:</H2>\n", results.len()));
        put(format_args!("<TABLE bgcolor=\"#ffffff\" border=\"1\">\n<TBODY>\n<TR>\n"));
        let heads = if self.detailed {
            "<TH>\nKind\n</TH>\n<TH>\nReason\n</TH>\n<TH>\nDetails\n</TH>\n"
        } else {
            "\n<TH>\nReason\n</TH>"
        };
        put(format_args!("{heads}\n</TR>\n"));
        for CheckResult { class, reason, details, .. } in results {
            if self.detailed {
                let details = super::document::escape(details);
                put(format_args!("<TR>\n<TD>{class}</TD>\n    <TD>{reason}</TD>\n<TD>{details}</TD>\n</TR>"));
            } else {
                put(format_args!("<TR>\n\n    <TD>{reason}</TD>\n\n</TR>"));
            }
        }
        put(format_args!("\n</TBODY>\n</TABLE>\n<HR></HR>\n\n</BODY>\n</HTML>"));
        page
    }
}

const VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

fn plain(results: &[CheckResult]) -> String {
    let reasons: Vec<_> = results.iter().map(|check| check.reason).collect();
    reasons.join("\n")
}

fn now() -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

impl Check {
    async fn check(&self, port: u16, database: &dyn Reachable) -> CheckResult {
        match self {
            Self::DisableByFile(path) if path.is_empty() => {
                CheckResult::ok("No 'disable_by_file_path' configuration value specified".to_owned())
            }
            Self::DisableByFile(path) => match is_there(path).await {
                true => CheckResult::disabled(format!("Path '{path}' was found")),
                false => CheckResult::ok(format!("Path '{path}' was not found")),
            },
            Self::DisableByFilesPorts(paths) => match paths.get(&port) {
                Some(path) if is_there(path).await => CheckResult::disabled(String::new()),
                _ => CheckResult::ok(String::new()),
            },
            Self::EnableByFiles(paths) => {
                for path in paths {
                    if !is_there(path).await {
                        tracing::warn!(path, "health check: path is not present");
                        let details = format!("File path {path} is missing");
                        return CheckResult {
                            available: false,
                            reason: "FILE PATH MISSING",
                            ..CheckResult::ok(details)
                        };
                    }
                }
                CheckResult::ok("Specified file paths are available".to_owned())
            }
            Self::Database => match database.reach().await {
                Ok(()) => CheckResult::ok("The database answers".to_owned()),
                Err(details) => {
                    tracing::warn!(details, "health check: the database does not answer");
                    CheckResult { available: false, reason: "DATABASE DOES NOT ANSWER", ..CheckResult::ok(details) }
                }
            },
        }
    }
}

impl CheckResult {
    fn ok(details: String) -> Self {
        Self { available: true, class: "HealthcheckResult", details, reason: "OK" }
    }

    fn disabled(details: String) -> Self {
        Self { available: false, reason: "DISABLED BY FILE", ..Self::ok(details) }
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("{text}: not a network such as 192.0.2.0/24");
    let network = match text.split_once('/') {
        Some((address, bits)) => {
            let address = address.trim().parse().map_err(|_| wrong())?;
            IpNet::new(address, bits.trim().parse().map_err(|_| wrong())?).map_err(|_| wrong())?
        }
        None => IpNet::from(text.trim().parse::<IpAddr>().map_err(|_| wrong())?),
    };
    if network.trunc() == network { Ok(network) } else { Err(wrong()) }
}

fn by_port(paths: &[String]) -> Result<BTreeMap<u16, String>, String> {
    let entry = |text: &String| {
        let (port, path) = text.split_once(':')?;
        Some((port.trim().parse().ok()?, path.to_owned()))
    };
    let wrong = |text: &String| format!("{text}: not port:path");
    paths.iter().map(|text| entry(text).ok_or_else(|| wrong(text))).collect()
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// As Python's `os.path.exists`: what cannot be looked at is not there.
async fn is_there(path: &str) -> bool {
    let found: io::Result<bool> = tokio::fs::try_exists(path).await;
    found.unwrap_or(false)
}

#[cfg(test)]
pub(in crate::http) mod tests;
