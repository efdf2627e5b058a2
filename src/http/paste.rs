//! An operator's own paste file. Its filters and applications are matched with ours by the factories that it names; what
//! is unknown ends the start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::ini::{Ini, IniError};
use super::middleware::audit::{Audit, AuditMapError};
use super::pipeline::{Application, Plan, PlannedMount, PlannedPipeline, Stage, Step};

/// Composites within composites that are still followed.
const DEPTH: usize = 8;

/// A paste file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasteError {
    #[error(transparent)]
    Line(#[from] IniError),
    #[error(
        "there is no section [app:{0}], [composite:{0}] or [pipeline:{0}]: add one, or set another flavor in [paste_deploy]"
    )]
    Flavor(String),
    #[error(
        "line {line}: there is no section [app:{name}], [composite:{name}] or [pipeline:{name}]: add one, or name another"
    )]
    NoApplication { line: usize, name: String },
    #[error("line {line}: there is no section [filter:{name}]: add one, or take {name} out of the pipeline")]
    NoFilter { line: usize, name: String },
    #[error("line {line}: [{section}] has no option {option}")]
    Option { line: usize, section: String, option: String },
    #[error(
        "line {line}: [{section}] does not say what it is (paste.filter_factory or use): add that, or take {name} out of the \
         pipeline in line {pipeline}"
    )]
    NoFactory { line: usize, section: String, name: String, pipeline: usize },
    #[error(
        "line {line}: [{section}] is the health check, which is an application with a path of its own now, not a filter: take \
         {name} out of the pipeline in line {pipeline}"
    )]
    HealthFilter { line: usize, section: String, name: String, pipeline: usize },
    #[error("line {line}: [{section}] names {factory}, an application that is not part of this service")]
    Application { line: usize, section: String, factory: String },
    #[error(
        "line {line}: [{section}] names {factory}, a filter that is not part of this service: take {name} out of the \
         pipeline in line {pipeline}"
    )]
    Filter { line: usize, section: String, factory: String, name: String, pipeline: usize },
    #[error("line {line}: [{section}] audit_map_file: {source}")]
    AuditMap { line: usize, section: String, source: AuditMapError },
    #[error("line {line}: [{section}] {option}: move it to [keystone_authtoken] in glance-api.conf")]
    Misplaced { line: usize, section: String, option: String },
    #[error("line {line}: [{section}]: {reason}")]
    Shape { line: usize, section: String, reason: &'static str },
}

/// The plan of `glance-api` or `glance-api-<flavor>`.
///
/// # Errors
/// What stands in the way.
pub(in crate::http) fn plan(text: &str, path: &Path, flavor: &str) -> Result<Plan, PasteError> {
    let ini = Ini::parse(text, path)?;
    let name = if flavor.is_empty() { "glance-api".to_owned() } else { format!("glance-api-{flavor}") };
    let loader = Loader { ini, flavor };
    let section = loader.section_of(&name).ok_or_else(|| PasteError::Flavor(name.clone()))?;
    let mut mounts = Vec::new();
    match loader.application(section, DEPTH)? {
        Node::Map(section, entries) => {
            for (prefix, node) in entries {
                mounts.push((prefix, loader.mount(node, &section)?));
            }
        }
        other => mounts.push((String::new(), loader.mount(other, section)?)),
    }
    Ok(Plan { mounts: longest_first(mounts) })
}

/// What a name in the file stands for.
enum Node {
    /// A map of prefixes, with the name of its section.
    Map(String, Vec<(String, Node)>),
    Pipeline(Vec<Step>, Box<Node>),
    Health(BTreeMap<String, String>),
    Application(Application),
}

struct Loader<'a> {
    ini: Ini,
    flavor: &'a str,
}

impl Loader<'_> {
    /// The section of an application, a composite or a pipeline of this name.
    fn section_of(&self, name: &str) -> Option<&str> {
        let kinds = ["app", "application", "composite", "composit", "pipeline"];
        let names: Vec<String> = kinds.iter().map(|kind| format!("{kind}:{name}")).collect();
        self.ini.find(&names).map(|(section, _)| section)
    }

    /// What stands for a name that is in this line.
    fn named(&self, name: &str, line: usize, depth: usize) -> Result<Node, PasteError> {
        let section = self.section_of(name).ok_or_else(|| PasteError::NoApplication { line, name: name.to_owned() })?;
        self.application(section, depth)
    }

    fn application(&self, section: &str, depth: usize) -> Result<Node, PasteError> {
        let options = self.ini.find(&[section.to_owned()]).map(|(_, options)| options).unwrap_or_default();
        let depth = depth.checked_sub(1).ok_or_else(|| self.shape(section, "too many sections within each other"))?;
        if section.starts_with("pipeline:") {
            return self.pipeline(section, &options, "pipeline", depth);
        }
        let factories = ["paste.composite_factory", "paste.app_factory", "use"];
        let factory = factory(&options, &factories).ok_or_else(|| self.missing(section, &factories.join(" or ")))?;
        match factory {
            "glance.api:pipeline_factory" => {
                let flavor = if self.flavor.is_empty() { "default" } else { self.flavor };
                self.pipeline(section, &options, flavor, depth)
            }
            "glance.api:root_app_factory" | "egg:Paste#urlmap" => self.map(section, &options, depth),
            "glance.api.versions:create_resource" => Ok(Node::Application(Application::Versions)),
            "glance.api.v2.router:API.factory" => Ok(Node::Application(Application::Images)),
            "oslo_middleware:Healthcheck.app_factory"
            | "oslo_middleware.healthcheck:Healthcheck.app_factory"
            | "egg:oslo.middleware#healthcheck"
            | "egg:oslo.middleware:healthcheck" => Ok(Node::Health(local(options))),
            other => {
                let line = self.line_of_factory(section, other);
                Err(PasteError::Application { line, section: section.to_owned(), factory: other.to_owned() })
            }
        }
    }

    fn map(&self, section: &str, options: &BTreeMap<String, String>, depth: usize) -> Result<Node, PasteError> {
        let mut entries = Vec::new();
        for (prefix, name) in options {
            if prefix.starts_with('/') {
                let node = self.named(name, self.ini.line(section, prefix), depth)?;
                entries.push((prefix.trim_end_matches('/').to_owned(), node));
            } else if prefix.starts_with("domain") || prefix.starts_with("port") || prefix.starts_with("http") {
                return Err(self.shape(section, "maps by domain or port are not part of this service"));
            }
        }
        Ok(Node::Map(section.to_owned(), longest_first(entries)))
    }

    /// `column`: the option that lists the filters and the application.
    fn pipeline(
        &self,
        section: &str,
        options: &BTreeMap<String, String>,
        column: &str,
        depth: usize,
    ) -> Result<Node, PasteError> {
        let listed = options.get(column).ok_or_else(|| self.missing(section, column))?;
        let names: Vec<&str> = listed.split_whitespace().collect();
        let line = self.ini.line(section, column);
        let Some((last, filters)) = names.split_last() else {
            return Err(self.shape(section, "the pipeline is empty"));
        };
        let steps = filters.iter().map(|name| self.filter(name, line)).collect::<Result<_, _>>()?;
        Ok(Node::Pipeline(steps, Box::new(self.named(last, line, depth)?)))
    }

    /// `pipeline`: the line that names the filter.
    fn filter(&self, name: &str, pipeline: usize) -> Result<Step, PasteError> {
        let absent = || PasteError::NoFilter { line: pipeline, name: name.to_owned() };
        let (section, options) = self.ini.find(&[format!("filter:{name}")]).ok_or_else(absent)?;
        let factory = factory(&options, &["paste.filter_factory", "use"]).ok_or_else(|| PasteError::NoFactory {
            line: self.ini.beginning(section),
            section: section.to_owned(),
            name: name.to_owned(),
            pipeline,
        })?;
        let stage = match factory {
            "oslo_middleware.cors:filter_factory"
            | "oslo_middleware:CORS.factory"
            | "oslo_middleware.cors:CORS.factory"
            | "egg:oslo.middleware#cors" => Stage::Cors,
            "oslo_middleware:HTTPProxyToWSGI.factory"
            | "oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory"
            | "egg:oslo.middleware#http_proxy_to_wsgi" => Stage::HttpProxyToWsgi,
            "glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory" => Stage::VersionNegotiation,
            "osprofiler.web:WsgiMiddleware.factory" => Stage::Osprofiler,
            "keystonemiddleware.auth_token:filter_factory" | "egg:keystonemiddleware#auth_token" => Stage::Authtoken,
            "glance.api.middleware.context:ContextMiddleware.factory" => Stage::Context,
            "glance.api.middleware.context:UnauthenticatedContextMiddleware.factory" => Stage::UnauthenticatedContext,
            "keystonemiddleware.audit:filter_factory" | "egg:keystonemiddleware#audit" => Stage::Audit,
            "glance.api.middleware.cache:CacheFilter.factory" => Stage::Cache,
            "glance.api.middleware.cache_manage:CacheManageFilter.factory" => Stage::CacheManage,
            "glance.api.middleware.gzip:GzipMiddleware.factory" => Stage::Gzip,
            "glance.common.wsgi:Debug.factory" => Stage::Debug,
            "oslo_middleware:Healthcheck.factory" | "oslo_middleware.healthcheck:Healthcheck.factory" => {
                return Err(PasteError::HealthFilter {
                    line: self.line_of_factory(section, factory),
                    section: section.to_owned(),
                    name: name.to_owned(),
                    pipeline,
                });
            }
            other => {
                return Err(PasteError::Filter {
                    line: self.line_of_factory(section, other),
                    section: section.to_owned(),
                    factory: other.to_owned(),
                    name: name.to_owned(),
                    pipeline,
                });
            }
        };
        let options = local(options);
        // Upstream takes every option of [keystone_authtoken] from here as well, even before glance-api.conf.
        let unread = |name: &&String| *name != "delay_auth_decision" && !name.starts_with("oslo_config_");
        match options.keys().find(unread).filter(|_| stage == Stage::Authtoken) {
            Some(option) => {
                let line = self.ini.line(section, option);
                Err(PasteError::Misplaced { line, section: section.to_owned(), option: option.clone() })
            }
            None => Ok(Step { stage, audit: self.audit(stage, section, &options)?, options }),
        }
    }

    fn audit(
        &self,
        stage: Stage,
        section: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Option<Arc<Audit>>, PasteError> {
        if stage != Stage::Audit {
            return Ok(None);
        }
        let audit = Audit::new(options).map_err(|source| {
            let line = self.ini.line(section, "audit_map_file");
            PasteError::AuditMap { line, section: section.to_owned(), source }
        })?;
        Ok(Some(Arc::new(audit)))
    }

    fn shape(&self, section: &str, reason: &'static str) -> PasteError {
        PasteError::Shape { line: self.ini.beginning(section), section: section.to_owned(), reason }
    }

    fn missing(&self, section: &str, option: &str) -> PasteError {
        let line = self.ini.beginning(section);
        PasteError::Option { line, section: section.to_owned(), option: option.to_owned() }
    }

    /// The line of the option that names a factory.
    fn line_of_factory(&self, section: &str, factory: &str) -> usize {
        let options = self.ini.find(&[section.to_owned()]).map(|(_, options)| options).unwrap_or_default();
        let named = options.iter().find(|(_, value)| *value == factory).map(|(name, _)| name.as_str());
        named.map_or(0, |name| self.ini.line(section, name))
    }

    /// A node as what is mounted at the top: the health check, or filters before a map of applications.
    fn mount(&self, node: Node, section: &str) -> Result<PlannedMount, PasteError> {
        let shape = |reason| self.shape(section, reason);
        let mut pipeline = PlannedPipeline::default();
        let mut node = node;
        loop {
            match node {
                Node::Health(options) if pipeline.steps.is_empty() => return Ok(PlannedMount::Health(options)),
                Node::Health(_) => return Err(shape("the health check stands behind filters")),
                Node::Pipeline(steps, next) => {
                    pipeline.steps.extend(steps);
                    node = *next;
                }
                Node::Application(application) => {
                    pipeline.applications.push((String::new(), application));
                    break;
                }
                Node::Map(section, entries) => {
                    for (prefix, entry) in entries {
                        let Node::Application(application) = entry else {
                            let reason = "behind filters there may only be the applications of versions and of images";
                            return Err(self.shape(&section, reason));
                        };
                        pipeline.applications.push((prefix, application));
                    }
                    break;
                }
            }
        }
        if pipeline.applications.iter().any(|(prefix, app)| *app == Application::Images && prefix != "/v2") {
            return Err(shape("the application of images must stand at /v2"));
        }
        Ok(PlannedMount::Pipeline(pipeline))
    }
}

fn factory<'a>(options: &'a BTreeMap<String, String>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| options.get(*name)).map(String::as_str)
}

/// What is left for the filter or application itself.
fn local(options: BTreeMap<String, String>) -> BTreeMap<String, String> {
    options.into_iter().filter(|(name, _)| name != "use" && !name.starts_with("paste.")).collect()
}

fn longest_first<T>(mut entries: Vec<(String, T)>) -> Vec<(String, T)> {
    entries.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGED: &str = include_str!("upstream/glance-api-paste.ini");

    fn own(more: &str, flavor: &str) -> Result<Plan, PasteError> {
        plan(&format!("{PACKAGED}\n{more}"), Path::new("/etc/glance/glance-api-paste.ini"), flavor)
    }

    #[test]
    fn filters_keep_their_order_and_options() {
        let more = "[pipeline:glance-api-own]\npipeline = gzip http_proxy_to_wsgi versionnegotiation\n  authtoken context rootapp\n";
        let plan = own(more, "own").unwrap();
        let [(prefix, PlannedMount::Pipeline(pipeline))] = plan.mounts.as_slice() else { panic!("{plan:?}") };
        let stages: Vec<_> = pipeline.steps.iter().map(|step| step.stage).collect();
        use Stage::*;
        assert_eq!(
            (prefix.as_str(), stages),
            ("", vec![Gzip, HttpProxyToWsgi, VersionNegotiation, Authtoken, Context])
        );
        assert_eq!(pipeline.steps[3].options["delay_auth_decision"], "true");
    }

    #[test]
    fn audit_stands_where_deployment_tools_put_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.conf");
        std::fs::write(&file, "[path_keywords]\nimages = image\n").unwrap();
        for factory in
            ["paste.filter_factory = keystonemiddleware.audit:filter_factory", "use = egg:keystonemiddleware#audit"]
        {
            let more = format!(
                "[filter:audit]\n{factory}\naudit_map_file = {}\nservice_name = glance\n\
                 [pipeline:glance-api-own]\npipeline = versionnegotiation authtoken context audit rootapp\n",
                file.display()
            );
            let plan = own(&more, "own").unwrap();
            let [(_, PlannedMount::Pipeline(pipeline))] = plan.mounts.as_slice() else { panic!("{plan:?}") };
            assert_eq!(pipeline.steps[3].stage, Stage::Audit);
            assert!(pipeline.steps[3].audit.is_some());
        }
        std::fs::remove_file(&file).unwrap();
        let more = format!(
            "[filter:audit]\npaste.filter_factory = keystonemiddleware.audit:filter_factory\naudit_map_file = {}\n\
             [pipeline:glance-api-own]\npipeline = context audit rootapp\n",
            file.display()
        );
        let error = own(&more, "own").unwrap_err().to_string();
        assert!(error.contains("line 97: [filter:audit] audit_map_file: cannot be read: No such file"), "{error}");
    }

    #[test]
    fn the_packaged_health_check_has_its_options() {
        let plan = own("", "keystone").unwrap();
        let (prefix, PlannedMount::Health(options)) = &plan.mounts[0] else { panic!("{plan:?}") };
        assert_eq!((prefix.as_str(), options["backends"].as_str()), ("/healthcheck", "disable_by_file"));
        assert_eq!(options["disable_by_file_path"], "/etc/glance/healthcheck_disable");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let own_filter = "[filter:mine]\npaste.filter_factory = my.module:factory\n";
        let own_roles = "[filter:authtoken]\nservice_token_roles_required = true\n";
        for (more, flavor, expected) in [
            (
                own_roles,
                "keystone",
                "line 96: [filter:authtoken] service_token_roles_required: move it to [keystone_authtoken]",
            ),
            ("", "own", "there is no section [app:glance-api-own]"),
            (
                "[pipeline:glance-api-own]\npipeline = mine context rootapp\n",
                "own",
                "line 96: there is no section [filter:mine]: add one, or take mine out of the pipeline",
            ),
            (
                "[pipeline:glance-api-own]\npipeline = context mine\n",
                "own",
                "line 96: there is no section [app:mine], [composite:mine] or [pipeline:mine]: add one, or name another",
            ),
            (
                "[filter:mine]\nx = y\n[pipeline:glance-api-own]\npipeline = mine context rootapp\n",
                "own",
                "line 95: [filter:mine] does not say what it is (paste.filter_factory or use): add that, or take mine out of the \
                 pipeline in line 98",
            ),
            (
                "[filter:health]\nuse = x\npaste.filter_factory = oslo_middleware:Healthcheck.factory\n\
                 [pipeline:glance-api-own]\npipeline = health context rootapp\n",
                "own",
                "line 97: [filter:health] is the health check, which is an application with a path of its own now, not a filter: \
                 take health out of the pipeline in line 99",
            ),
            (
                &format!("{own_filter}[pipeline:glance-api-own]\npipeline = mine context rootapp\n"),
                "own",
                "line 96: [filter:mine] names my.module:factory, a filter that is not part of this service: take mine out of the pipeline in line 98",
            ),
            (
                "[pipeline:glance-api-own]\npipeline =\n",
                "own",
                "line 95: [pipeline:glance-api-own]: the pipeline is empty",
            ),
            ("[pipeline:glance-api-own]\npipeline = context healthcheck\n", "own", "behind filters"),
            ("[pipeline:glance-api-own]\npipeline = context apiv2app\n", "own", "must stand at /v2"),
            (
                "[composite:glance-api-own]\n/ = api\n",
                "own",
                "line 95: [composite:glance-api-own] has no option paste.",
            ),
            (
                "[composite:glance-api-own]\nuse = egg:Paste#urlmap\n/ = nowhere\n",
                "own",
                "line 97: there is no section [app:nowhere]",
            ),
            (
                "[composite:glance-api-own]\nuse = egg:Paste#urlmap\n/ = api\n",
                "own",
                "[composite:api] has no option own",
            ),
            ("[composite:glance-api-a]\nuse = egg:Paste#urlmap\n/ = glance-api-a\n", "a", "too many sections"),
            ("[composite:glance-api-a]\nuse = egg:Paste#urlmap\ndomain x / = api\n", "a", "domain or port"),
        ] {
            let error = own(more, flavor).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
