//! Which filters a request passes, in which order: the packaged paste file as columns, or a paste file of the operator's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::health::{HealthCheck, HealthOptionError};
use super::middleware::audit::Audit;
use super::paste;
use crate::config::{Config, ini};

/// A filter by its name in the packaged paste file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Stage {
    Cors,
    HttpProxyToWsgi,
    VersionNegotiation,
    Osprofiler,
    Authtoken,
    Context,
    UnauthenticatedContext,
    Cache,
    CacheManage,
    Audit,
    Gzip,
    Debug,
}

const DEFAULT: &[Stage] =
    &[Stage::Cors, Stage::HttpProxyToWsgi, Stage::VersionNegotiation, Stage::Osprofiler, Stage::UnauthenticatedContext];

const CACHING: &[Stage] = &[
    Stage::Cors,
    Stage::HttpProxyToWsgi,
    Stage::VersionNegotiation,
    Stage::Osprofiler,
    Stage::UnauthenticatedContext,
    Stage::Cache,
];

const CACHEMANAGEMENT: &[Stage] = &[
    Stage::Cors,
    Stage::HttpProxyToWsgi,
    Stage::VersionNegotiation,
    Stage::Osprofiler,
    Stage::UnauthenticatedContext,
    Stage::Cache,
    Stage::CacheManage,
];

const KEYSTONE: &[Stage] = &[
    Stage::Cors,
    Stage::HttpProxyToWsgi,
    Stage::VersionNegotiation,
    Stage::Osprofiler,
    Stage::Authtoken,
    Stage::Context,
];

const KEYSTONE_CACHING: &[Stage] = &[
    Stage::Cors,
    Stage::HttpProxyToWsgi,
    Stage::VersionNegotiation,
    Stage::Osprofiler,
    Stage::Authtoken,
    Stage::Context,
    Stage::Cache,
];

const KEYSTONE_CACHEMANAGEMENT: &[Stage] = &[
    Stage::Cors,
    Stage::HttpProxyToWsgi,
    Stage::VersionNegotiation,
    Stage::Osprofiler,
    Stage::Authtoken,
    Stage::Context,
    Stage::Cache,
    Stage::CacheManage,
];

/// What answers below each path, and through which filters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The longest prefix that fits counts.
    pub(in crate::http) mounts: Vec<(String, PlannedMount)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum PlannedMount {
    /// The health check, with its options in the paste file.
    Health(BTreeMap<String, String>),
    Pipeline(PlannedPipeline),
}

/// Filters from the outside in, then applications by their prefix.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::http) struct PlannedPipeline {
    pub steps: Vec<Step>,
    pub applications: Vec<(String, Application)>,
}

/// A filter with its options in the paste file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct Step {
    pub stage: Stage,
    pub options: BTreeMap<String, String>,
    /// With [`Stage::Audit`] alone.
    pub audit: Option<Arc<Audit>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Application {
    /// The list of versions.
    Versions,
    /// The routes of `/v2`.
    Images,
}

/// A pipeline that cannot be built; the start fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    #[error(
        "[paste_deploy] flavor = {0}: there is no such pipeline; known are caching, cachemanagement, keystone, \
         keystone+caching, keystone+cachemanagement and, without authentication, an empty value"
    )]
    Flavor(String),
    #[error("[paste_deploy] config_file = {}: cannot be read: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Paste { path: PathBuf, source: paste::PasteError },
    #[error("the pipeline has neither the filter context nor unauthenticated-context: nobody would know who is asking")]
    NoContext,
    #[error("the pipeline has the filter context without authtoken before it: nobody would check the tokens")]
    ContextWithoutAuthtoken,
    #[error("the pipeline asks for authentication, but no identity service is configured")]
    NoIdentity,
    #[error(transparent)]
    Health(#[from] HealthOptionError),
    #[error("paste file: {0}")]
    Flag(#[from] FlagError),
}

/// An option of a paste file that is to be true or false.
#[derive(Debug, thiserror::Error)]
#[error("{name} = {text}: neither true nor false")]
pub(crate) struct FlagError {
    name: &'static str,
    text: String,
}

/// A truth value among the options in a paste file, in any of the words that oslo.config knows; else `given`.
pub(in crate::http) fn flag(
    local: &BTreeMap<String, String>,
    name: &'static str,
    given: bool,
) -> Result<bool, FlagError> {
    let Some(text) = local.get(name) else { return Ok(given) };
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(FlagError { name, text: text.clone() }),
    }
}

impl Plan {
    /// # Errors
    /// An unknown flavor, or a paste file that cannot be used.
    pub(crate) fn from_config(config: &Config) -> Result<Self, PipelineError> {
        let flavor = config.paste_deploy.flavor.as_deref().unwrap_or_default();
        let plan = match config.paste_deploy.config_file.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => {
                let path = PathBuf::from(path);
                let text = std::fs::read(&path)
                    .and_then(ini::text)
                    .map_err(|source| PipelineError::File { path: path.clone(), source })?;
                paste::plan(&text, &path, flavor).map_err(|source| PipelineError::Paste { path, source })?
            }
            None => Self::packaged(flavor)?,
        };
        plan.check()
    }

    /// Whether the options of what is in the plan can be used.
    ///
    /// # Errors
    /// The first one that cannot.
    pub(crate) fn check_options(&self, config: &Config) -> Result<(), PipelineError> {
        for (_, target) in &self.mounts {
            if let PlannedMount::Health(options) = target {
                HealthCheck::new(&config.healthcheck, options)?;
            }
        }
        Ok(())
    }

    /// Whether the callers' tokens are checked. Without that everybody is an administrator.
    pub(crate) fn authenticates(&self) -> bool {
        let mut pipelines = self.pipelines().peekable();
        pipelines.peek().is_some()
            && pipelines.all(|pipeline| pipeline.has(Stage::Authtoken) && !pipeline.has(Stage::UnauthenticatedContext))
    }

    /// Whether image data goes through the image cache in any of it.
    pub(crate) fn has_cache(&self) -> bool {
        self.pipelines().any(|pipeline| pipeline.has(Stage::Cache))
    }

    /// Whether an identity service is needed for any of it.
    pub(crate) fn needs_identity(&self) -> bool {
        self.pipelines().any(|pipeline| pipeline.has(Stage::Authtoken))
    }

    /// The pipelines of the packaged paste file.
    fn packaged(flavor: &str) -> Result<Self, PipelineError> {
        let stages = match flavor {
            "" => DEFAULT,
            "caching" => CACHING,
            "cachemanagement" => CACHEMANAGEMENT,
            "keystone" => KEYSTONE,
            "keystone+caching" => KEYSTONE_CACHING,
            "keystone+cachemanagement" => KEYSTONE_CACHEMANAGEMENT,
            other => return Err(PipelineError::Flavor(other.to_owned())),
        };
        let options = |stage: &Stage| match stage {
            Stage::Authtoken => BTreeMap::from([("delay_auth_decision".to_owned(), "true".to_owned())]),
            _ => BTreeMap::new(),
        };
        let pipeline = PlannedPipeline {
            steps: stages.iter().map(|stage| Step { stage: *stage, options: options(stage), audit: None }).collect(),
            applications: vec![("/v2".to_owned(), Application::Images), (String::new(), Application::Versions)],
        };
        let health = PlannedMount::Health(BTreeMap::new());
        Ok(Self {
            mounts: vec![("/healthcheck".to_owned(), health), (String::new(), PlannedMount::Pipeline(pipeline))],
        })
    }

    fn check(self) -> Result<Self, PipelineError> {
        for pipeline in self.pipelines() {
            let position = |wanted| pipeline.steps.iter().position(|step| step.stage == wanted);
            if !pipeline.applications.iter().any(|(_, application)| *application == Application::Images) {
                continue;
            }
            match (position(Stage::Context), position(Stage::UnauthenticatedContext), position(Stage::Authtoken)) {
                (None, None, _) => return Err(PipelineError::NoContext),
                (Some(context), _, authtoken) if authtoken.is_none_or(|authtoken| authtoken > context) => {
                    return Err(PipelineError::ContextWithoutAuthtoken);
                }
                _ => {}
            }
        }
        Ok(self)
    }

    fn pipelines(&self) -> impl Iterator<Item = &PlannedPipeline> {
        self.mounts.iter().filter_map(|(_, target)| match target {
            PlannedMount::Pipeline(pipeline) => Some(pipeline),
            PlannedMount::Health(_) => None,
        })
    }
}

impl PlannedPipeline {
    fn has(&self, stage: Stage) -> bool {
        self.steps.iter().any(|step| step.stage == stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flavor: &str, file: Option<&str>) -> Config {
        let mut config = Config::default();
        config.paste_deploy.flavor = Some(flavor.to_owned());
        config.paste_deploy.config_file = file.map(str::to_owned);
        config
    }

    #[test]
    fn the_flavor_says_who_may_come_in() {
        for (flavor, authenticates) in [
            ("", false),
            ("caching", false),
            ("cachemanagement", false),
            ("keystone", true),
            ("keystone+caching", true),
            ("keystone+cachemanagement", true),
        ] {
            let plan = Plan::from_config(&config(flavor, None)).unwrap();
            assert_eq!(plan.authenticates(), authenticates, "{flavor}");
            assert_eq!(plan.has_cache(), flavor.contains("cach"), "{flavor}");
        }
        let error = Plan::from_config(&config("trusted-auth", None)).unwrap_err();
        assert!(error.to_string().contains("flavor = trusted-auth"), "{error}");
    }

    /// The packaged paste file of upstream, read, is what is built in.
    #[test]
    fn the_columns_are_those_of_the_packaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glance-api-paste.ini");
        std::fs::write(&path, include_str!("upstream/glance-api-paste.ini")).unwrap();
        for flavor in ["", "caching", "cachemanagement", "keystone", "keystone+caching", "keystone+cachemanagement"] {
            let read = Plan::from_config(&config(flavor, path.to_str())).unwrap();
            let built_in = Plan::packaged(flavor).unwrap();
            let columns = |plan: &Plan| {
                let columns: Vec<_> =
                    plan.pipelines().map(|c| c.steps.iter().map(|s| s.stage).collect::<Vec<_>>()).collect();
                columns
            };
            assert_eq!(columns(&read), columns(&built_in));
            assert_eq!(
                read.pipelines().next().unwrap().applications,
                built_in.pipelines().next().unwrap().applications
            );
            assert_eq!(read.authenticates(), built_in.authenticates());
            let prefixes = |plan: &Plan| plan.mounts.iter().map(|(prefix, _)| prefix.clone()).collect::<Vec<_>>();
            assert_eq!(prefixes(&read), prefixes(&built_in));
        }
    }

    #[test]
    fn truth_has_the_words_of_oslo_config() {
        let local = |text: &str| BTreeMap::from([("x".to_owned(), text.to_owned())]);
        for (text, expected) in [("True", true), ("1", true), ("yes", true), ("ON", true), ("0", false), ("off", false)]
        {
            assert_eq!(flag(&local(text), "x", !expected).unwrap(), expected, "{text}");
        }
        assert!(flag(&BTreeMap::new(), "x", true).unwrap());
        assert_eq!(flag(&local("maybe"), "x", true).unwrap_err().to_string(), "x = maybe: neither true nor false");
    }

    #[test]
    fn a_file_that_is_not_there_ends_the_start() {
        let error = Plan::from_config(&config("", Some("/no/such/paste.ini"))).unwrap_err();
        assert!(matches!(error, PipelineError::File { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"[app:x]\nuse = \xfc\n").unwrap();
        let error = Plan::from_config(&config("", file.path().to_str())).unwrap_err().to_string();
        assert!(error.ends_with("cannot be read: line 2: is not UTF-8 text"), "{error}");
    }

    #[test]
    fn a_pipeline_without_a_guard_ends_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paste.ini");
        let packaged = include_str!("upstream/glance-api-paste.ini");
        for (column, expected) in [
            ("versionnegotiation rootapp", "neither the filter context"),
            ("versionnegotiation context rootapp", "without authtoken"),
            ("versionnegotiation context authtoken rootapp", "without authtoken"),
        ] {
            let own = format!("{packaged}\n[pipeline:glance-api-own]\npipeline = {column}\n");
            std::fs::write(&path, own).unwrap();
            let error = Plan::from_config(&config("own", path.to_str())).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
