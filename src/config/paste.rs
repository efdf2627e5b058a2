//! Which filters stand in front of the API: upstream's paste file, as far as it is a choice among what there is.
//!
//! Without a paste file the pipelines are those of upstream's own. With one, the pipeline that `[paste_deploy] flavor`
//! chooses is read from it, and a filter that this service does not have stops the start: it may be there to keep
//! somebody out. Options that the file gives to its filters go over those of glance-api.conf, as upstream has it.

use std::path::{Path, PathBuf};

use super::ini::{self, Document};
use super::layers::Layer;
use super::option::Section;
use super::problem::{Origin, Problem};
use super::{
    Config, CorsSection, HealthcheckSection, KeystoneAuthtokenSection, OsloMiddlewareSection, PasteDeploySection,
    schema,
};

/// A filter of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Keystone tokens (`keystonemiddleware.auth_token`).
    AuthToken,
    /// The image cache.
    Cache,
    /// The image cache's management.
    CacheManage,
    /// The request's context from the token.
    Context,
    /// Cross-origin requests.
    Cors,
    /// Compression of answers.
    Gzip,
    /// `/healthcheck`, as older paste files have it; newer ones mount it beside the API, and so does this service always.
    Healthcheck,
    /// Scheme and host as a proxy tells them.
    ProxyHeaders,
    /// Profiling; accepted, does nothing.
    Profiler,
    /// The request's context where everyone is admin.
    UnauthenticatedContext,
    /// `/v2` and other versions by path and Accept.
    VersionNegotiation,
}

/// What a paste file says.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    pub(super) filters: Vec<Filter>,
    /// Options given to filters: section, option, value.
    pub(super) settings: Vec<(&'static str, &'static str, String)>,
    file: PathBuf,
}

impl Pipeline {
    /// The options given to filters, as a layer over all others.
    pub(super) fn layer(&self) -> Layer {
        let settings =
            self.settings.iter().map(|(section, option, value)| (*section, *option, value.replace('$', "$$")));
        Layer::named(&self.file.display().to_string(), settings.collect())
    }
}

/// The name under which upstream's file has the API; the flavor follows after a dash.
const APPLICATION: &str = "glance-api";

/// Filters by the code that their section names.
const FACTORIES: [(&str, Filter); 12] = [
    ("glance.api.middleware.cache:CacheFilter.factory", Filter::Cache),
    ("glance.api.middleware.cache_manage:CacheManageFilter.factory", Filter::CacheManage),
    ("glance.api.middleware.context:ContextMiddleware.factory", Filter::Context),
    ("glance.api.middleware.context:UnauthenticatedContextMiddleware.factory", Filter::UnauthenticatedContext),
    ("glance.api.middleware.gzip:GzipMiddleware.factory", Filter::Gzip),
    ("glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory", Filter::VersionNegotiation),
    ("keystonemiddleware.auth_token:filter_factory", Filter::AuthToken),
    ("osprofiler.web:WsgiMiddleware.factory", Filter::Profiler),
    ("oslo_middleware.cors:filter_factory", Filter::Cors),
    ("oslo_middleware:CORS.factory", Filter::Cors),
    ("oslo_middleware:HTTPProxyToWSGI.factory", Filter::ProxyHeaders),
    ("oslo_middleware:Healthcheck.factory", Filter::Healthcheck),
];

/// The pipeline that is chosen.
///
/// # Errors
///
/// A flavor or a filter that does not exist, a paste file that cannot be read.
pub(super) fn pipeline(config: &Config) -> Result<Pipeline, Problem> {
    let flavor = config.paste_deploy.flavor.as_deref();
    let Some(file) = file(config) else { return built_in(flavor) };
    let text = std::fs::read_to_string(&file).map_err(|source| Problem::Unreadable { path: file.clone(), source })?;
    let document = ini::parse(&text).map_err(|source| Problem::Syntax { path: file.clone(), source })?;
    Paste { document: &document, file: &file }.pipeline(flavor)
}

/// `config_file`, or the last configuration file's name with `-paste.ini` (`glance/common/config.py`).
fn file(config: &Config) -> Option<PathBuf> {
    if let Some(file) = &config.paste_deploy.config_file {
        return Some(PathBuf::from(file));
    }
    let last = config.files.last().and_then(|file| file.file_name()).and_then(|name| name.to_str());
    let name = last.map_or_else(|| format!("{APPLICATION}-paste.ini"), |name| name.replace(".conf", "-paste.ini"));
    config.find_file(&name).filter(|path| name.ends_with("-paste.ini") && path.is_file())
}

fn built_in(flavor: Option<&str>) -> Result<Pipeline, Problem> {
    use Filter::{AuthToken, Cache, CacheManage, Context, UnauthenticatedContext};
    let behind: &[Filter] = match flavor {
        None => &[UnauthenticatedContext],
        Some("caching") => &[UnauthenticatedContext, Cache],
        Some("cachemanagement") => &[UnauthenticatedContext, Cache, CacheManage],
        Some("keystone") => &[AuthToken, Context],
        Some("keystone+caching") => &[AuthToken, Context, Cache],
        Some("keystone+cachemanagement") => &[AuthToken, Context, Cache, CacheManage],
        Some(other) => {
            let reason = format!(
                "there is no pipeline {other}; there are caching, cachemanagement, keystone, keystone+caching, \
                 keystone+cachemanagement, and none without authentication"
            );
            return Err(refused(Origin::from("built-in pipelines"), "flavor", reason));
        }
    };
    let front = [Filter::Cors, Filter::ProxyHeaders, Filter::VersionNegotiation, Filter::Profiler];
    Ok(Pipeline { filters: [&front, behind].concat(), ..Pipeline::default() })
}

fn refused(origin: Origin, option: &str, reason: String) -> Problem {
    Problem::Refused { origin, section: PasteDeploySection::NAME.to_owned(), option: option.to_owned(), reason }
}

/// A paste file.
struct Paste<'a> {
    document: &'a Document,
    file: &'a Path,
}

impl Paste<'_> {
    fn pipeline(&self, flavor: Option<&str>) -> Result<Pipeline, Problem> {
        let flavored = |name: &str| flavor.map_or_else(|| name.to_owned(), |flavor| format!("{name}-{flavor}"));
        let (names, line) = self
            .filters(&flavored(APPLICATION), flavor.unwrap_or("default"))
            .ok_or_else(|| self.problem(None, format!("has no pipeline {}", flavored(APPLICATION))))?;
        let mut pipeline = Pipeline { file: self.file.to_path_buf(), ..Pipeline::default() };
        for name in names {
            let section = format!("filter:{name}");
            let factory = self.value(&section, "paste.filter_factory").map(|(value, _)| value).unwrap_or_default();
            let Some((_, filter)) = FACTORIES.iter().find(|(known, _)| *known == factory) else {
                let what = if factory.is_empty() { name.to_owned() } else { format!("{name} ({factory})") };
                let reason = format!("its pipeline has the filter {what}, which this service does not have");
                return Err(self.problem(Some(line), reason));
            };
            pipeline.filters.push(*filter);
            self.settings(&section, *filter, &mut pipeline.settings);
        }
        self.settings("app:healthcheck", Filter::Healthcheck, &mut pipeline.settings);
        Ok(pipeline)
    }

    /// The names of the filters of an application, without the one it ends in, and the line they stand in. Current
    /// files mount `api` below the root, whose pipelines have the names of the flavors; older ones have a pipeline for
    /// each flavor.
    fn filters(&self, application: &str, flavor: &str) -> Option<(Vec<&str>, usize)> {
        let of_pipeline = || self.value(&format!("pipeline:{application}"), "pipeline");
        let of_composite = || {
            let (mounted, _) = self.value(&format!("composite:{application}"), "/")?;
            self.value(&format!("composite:{mounted}"), flavor)
                .or_else(|| self.value(&format!("pipeline:{mounted}"), "pipeline"))
        };
        let (names, line) = of_pipeline().or_else(of_composite)?;
        let mut names: Vec<_> = names.split_whitespace().collect();
        names.pop();
        Some((names, line))
    }

    fn value(&self, section: &str, key: &str) -> Option<(&str, usize)> {
        let mut entries = self.document.entries.iter().rev();
        let entry = entries.find(|entry| entry.section == section && entry.key == key)?;
        Some((entry.value.as_str(), entry.line))
    }

    /// What a section gives to its filter, where that is an option of the filter's own section of glance-api.conf.
    fn settings(&self, section: &str, filter: Filter, settings: &mut Vec<(&'static str, &'static str, String)>) {
        let target = match filter {
            Filter::AuthToken => KeystoneAuthtokenSection::NAME,
            Filter::Cors => CorsSection::NAME,
            Filter::Healthcheck => HealthcheckSection::NAME,
            Filter::ProxyHeaders => OsloMiddlewareSection::NAME,
            _ => return,
        };
        for entry in self.document.entries.iter().filter(|entry| entry.section == section) {
            if let Some(info) = schema::option(target, &entry.key) {
                settings.push((target, info.name, entry.value.clone()));
            }
        }
    }

    fn problem(&self, line: Option<usize>, reason: String) -> Problem {
        let file = self.file.display();
        let origin = line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"));
        refused(Origin::from(origin.as_str()), "config_file", reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = include_str!("paste/current.ini");

    const OLD: &str = "\
[pipeline:glance-api-keystone]
pipeline = cors healthcheck authtoken context rootapp
[filter:healthcheck]
paste.filter_factory = oslo_middleware:Healthcheck.factory
disable_by_file_path = /run/off
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = glance
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = false
";

    fn read(text: &str, flavor: Option<&str>) -> Result<Pipeline, Problem> {
        let document = ini::parse(text).unwrap();
        Paste { document: &document, file: Path::new("/p.ini") }.pipeline(flavor)
    }

    #[test]
    fn the_built_in_pipelines_are_those_of_upstreams_file() {
        let flavors = [
            None,
            Some("caching"),
            Some("cachemanagement"),
            Some("keystone"),
            Some("keystone+caching"),
            Some("keystone+cachemanagement"),
        ];
        for flavor in flavors {
            assert_eq!(read(NEW, flavor).unwrap().filters, built_in(flavor).unwrap().filters, "{flavor:?}");
        }
        assert!(built_in(Some("keystone+magic")).is_err());
        assert!(read(NEW, Some("keystone+magic")).is_err());
    }

    #[test]
    fn what_a_file_gives_to_its_filters_counts() {
        let pipeline = read(OLD, Some("keystone")).unwrap();
        use Filter::{AuthToken, Context, Cors, Healthcheck};
        assert_eq!(pipeline.filters, [Cors, Healthcheck, AuthToken, Context]);
        let expected = [
            ("healthcheck", "disable_by_file_path", "/run/off".to_owned()),
            ("keystone_authtoken", "delay_auth_decision", "false".to_owned()),
        ];
        assert_eq!(pipeline.settings, expected);
    }

    #[test]
    fn a_filter_that_does_not_exist_stops_the_start() {
        let text = OLD.replace("cors healthcheck", "cors guard healthcheck");
        let with_section = format!("{text}[filter:guard]\npaste.filter_factory = acme.guard:factory\n");
        for text in [text, with_section] {
            let message = read(&text, Some("keystone")).unwrap_err().to_string();
            assert!(message.starts_with("/p.ini:2: [paste_deploy] config_file: "), "{message}");
            assert!(message.contains("the filter guard"), "{message}");
        }
    }
}
