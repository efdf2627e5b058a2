//! The way of a request: the mount of its path, the filters inwards, the routes, the filters outwards.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::access::Line;
use super::exchange::Exchange;
use super::health::{HealthCheck, Reachable};
use super::middleware::audit::Audit;
use super::middleware::context::{self, Admission};
use super::middleware::cors::Cors;
use super::middleware::{debug, gzip, identity, proxy, version_negotiation};
use super::pipeline::{Application, PlannedMount, PlannedPipeline, Stage, Step, flag};
use super::versions::Versions;
use super::{AccessRecord, Connection, Identify, PipelineError, Plan, Reply, path};
use crate::api::{self, Api, Body, Error, Response};
use crate::config::Config;
use crate::identity::Context;

/// The whole pipeline with one configuration. A reload makes a new one; requests in flight keep the old.
pub(crate) struct App<H = Api> {
    mounts: Vec<(String, Mount)>,
    versions: Versions,
    handler: H,
    /// For the health check.
    database: Arc<dyn Reachable>,
    longest_request_id: usize,
}

/// What stands behind the filters.
pub(crate) trait Handler: Send + Sync {
    /// Answers one authenticated request below `/v2`.
    ///
    /// # Errors
    /// What the client is to be told, not yet rendered for its Accept header.
    fn handle(&self, request: api::Request) -> impl Future<Output = Result<Response, Error>> + Send;
}

impl Handler for Api {
    async fn handle(&self, request: api::Request) -> Result<Response, Error> {
        Self::handle(self, request).await
    }
}

enum Mount {
    Health(HealthCheck),
    Pipeline { filters: Vec<Filter>, applications: Vec<(String, Application)> },
}

/// A filter with what it needs of the configuration.
enum Filter {
    Cors(Cors),
    ProxyHeaders,
    VersionNegotiation,
    Authenticate { identify: Arc<dyn Identify>, delayed: bool },
    Context(Admission),
    Audit(Arc<Audit>),
    Cache,
    CacheManage,
    Gzip,
    Debug,
}

impl<H: Handler> App<H> {
    /// `database`: for the health check. `identify`: needed where the plan authenticates. `debug_requests`: log every request and answer, without secrets.
    ///
    /// # Errors
    /// Options that cannot be used, or no `identify` where it is needed.
    pub(crate) fn new(
        config: &Config,
        plan: &Plan,
        handler: H,
        database: Arc<dyn Reachable>,
        identify: Option<Arc<dyn Identify>>,
        debug_requests: bool,
    ) -> Result<Self, PipelineError> {
        let mut mounts = Vec::with_capacity(plan.mounts.len());
        for (prefix, target) in &plan.mounts {
            let mount = match target {
                PlannedMount::Health(options) => Mount::Health(HealthCheck::new(&config.healthcheck, options)?),
                PlannedMount::Pipeline(pipeline) => {
                    let filters = filters(config, pipeline, identify.as_ref(), debug_requests)?;
                    Mount::Pipeline { filters, applications: pipeline.applications.clone() }
                }
            };
            mounts.push((prefix.clone(), mount));
        }
        let longest_request_id = context::longest_request_id(config);
        Ok(Self { mounts, versions: Versions::new(config), handler, database, longest_request_id })
    }

    /// Answers one request; never fails. A panic on the way ends in 500.
    pub(crate) async fn serve(&self, request: http::Request<api::RequestBody>, connection: &Connection) -> Reply {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let version = parts.version;
        let request_id = context::request_id(&parts.headers, self.longest_request_id);
        let mut exchange = Exchange::new(parts, connection, request_id);
        // Of the highest level, so that whatever is logged below has the request id.
        let span = tracing::error_span!(
            "request",
            request_id = &*exchange.request_id,
            endpoint = Empty,
            user_id = Empty,
            project_id = Empty,
            domain_id = Empty,
            system_scope = Empty,
            user_domain_id = Empty,
            project_domain_id = Empty,
        );
        let answer = AssertUnwindSafe(self.answer(&mut exchange, body)).catch_unwind().instrument(span.clone()).await;
        let response = answer.unwrap_or_else(|panic| span.in_scope(|| exchange.refuse(&panicked(&*panic))));
        let mut response = exchange.complete(response);
        let sending = response.extensions_mut().remove();
        let log = AccessRecord::new(
            Line {
                started,
                span,
                method: exchange.method,
                target,
                version,
                status: response.status(),
                remote: exchange.remote,
            },
            sending,
        );
        Reply { response, log }
    }

    async fn answer(&self, exchange: &mut Exchange, body: api::RequestBody) -> Response {
        let path = exchange.path.clone().unwrap_or_default();
        let mount = self.mounts.iter().find(|(prefix, _)| path::is_below(&path, prefix));
        match mount {
            Some((_, Mount::Health(check))) => {
                let answer = check.answer(exchange, &*self.database).await;
                answer.unwrap_or_else(|error| exchange.refuse(&error))
            }
            Some((prefix, Mount::Pipeline { filters, applications })) => {
                exchange.prefix.push_str(prefix);
                exchange.path =
                    exchange.path.take().map(|path| path.get(prefix.len()..).unwrap_or_default().to_owned());
                self.through(filters, applications, exchange, body).await
            }
            None => exchange.refuse(&Error::not_found_path()),
        }
    }

    /// Inwards until a filter answers, then outwards from there.
    async fn through(
        &self,
        filters: &[Filter],
        applications: &[(String, Application)],
        exchange: &mut Exchange,
        body: api::RequestBody,
    ) -> Response {
        let watched = filters.iter().any(|filter| matches!(filter, Filter::Debug));
        let body = if watched { debug::watch(&exchange.headers, body) } else { body };
        let mut passed = 0;
        let mut answer = None;
        for filter in filters {
            answer = match filter.inwards(exchange, &self.versions, self.longest_request_id).await {
                Ok(answer) => answer,
                Err(error) => Some(exchange.refuse(&error)),
            };
            if answer.is_some() {
                break;
            }
            passed += 1;
        }
        let mut response = match answer {
            Some(response) => response,
            None => self.apply(applications, exchange, body).await.unwrap_or_else(|error| exchange.refuse(&error)),
        };
        for filter in filters.iter().take(passed).rev() {
            response = filter.outwards(exchange, response).await.unwrap_or_else(|error| exchange.refuse(&error));
        }
        response
    }

    async fn apply(
        &self,
        applications: &[(String, Application)],
        exchange: &Exchange,
        body: api::RequestBody,
    ) -> Result<Response, Error> {
        let path = exchange.path.as_deref().ok_or_else(Error::not_found_path)?;
        let found = applications.iter().find(|(prefix, _)| path::is_below(path, prefix));
        match found.map(|(_, application)| *application) {
            Some(Application::Images) if path == "/v2" => Ok(redirect(&(exchange.application_url() + "/v2/"))),
            Some(Application::Images) => {
                let context = exchange.context.clone().ok_or_else(|| Error::stock(StatusCode::UNAUTHORIZED))?;
                let handled = self.handler.handle(exchange.to_request(path, body, context));
                AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
            }
            Some(Application::Versions) => {
                self.versions.document(StatusCode::MULTIPLE_CHOICES, &exchange.application_url())
            }
            None => Err(Error::not_found_path()),
        }
    }
}

impl Filter {
    /// What happens to the request, and an answer that ends its way inwards.
    async fn inwards(
        &self,
        exchange: &mut Exchange,
        versions: &Versions,
        longest_request_id: usize,
    ) -> Result<Option<Response>, Error> {
        match self {
            Self::ProxyHeaders => proxy::apply(exchange),
            Self::VersionNegotiation => return version_negotiation::negotiate(exchange, versions),
            Self::Authenticate { identify, delayed } => {
                return identity::authenticate(exchange, &**identify, *delayed).await;
            }
            Self::Context(admission) => {
                context::admit(exchange, *admission, longest_request_id)?;
                exchange.context.iter().for_each(|context| record_caller(&Span::current(), context));
            }
            Self::Audit(audit) => audit.request(exchange),
            // The routes do the rest: they know the image, and who may see it.
            Self::Cache => exchange.filters.cache = true,
            Self::CacheManage => exchange.filters.cache_manage = true,
            Self::Debug => debug::show_request(exchange),
            Self::Cors(_) | Self::Gzip => {}
        }
        Ok(None)
    }

    /// What happens to the answer.
    async fn outwards(&self, exchange: &Exchange, response: Response) -> Result<Response, Error> {
        Ok(match self {
            Self::Cors(cors) => cors.decorate(exchange, response),
            Self::Authenticate { identify, .. } => identity::challenge(&**identify, response),
            Self::Context(_) => context::sign(exchange, response),
            Self::Gzip => gzip::compress(exchange, response).await?,
            Self::Audit(_) => {
                Audit::response(exchange, &response);
                response
            }
            Self::Debug => {
                debug::show_response(&response);
                response
            }
            Self::ProxyHeaders | Self::VersionNegotiation | Self::Cache | Self::CacheManage => response,
        })
    }
}

/// Puts the caller into the fields of everything that is logged about the request from now on.
fn record_caller(span: &Span, context: &Context) {
    for (field, value) in [
        ("user_id", &context.user_id),
        ("project_id", &context.project_id),
        ("domain_id", &context.domain_id),
        ("system_scope", &context.system_scope),
        ("user_domain_id", &context.user_domain_id),
        ("project_domain_id", &context.project_domain_id),
    ] {
        if let Some(value) = value {
            span.record(field, value.as_str());
        }
    }
}

fn filters(
    config: &Config,
    pipeline: &PlannedPipeline,
    identify: Option<&Arc<dyn Identify>>,
    debug_requests: bool,
) -> Result<Vec<Filter>, PipelineError> {
    let mut filters = Vec::with_capacity(pipeline.steps.len() + 1);
    if debug_requests {
        filters.push(Filter::Debug);
    }
    for Step { stage, options, audit } in &pipeline.steps {
        match stage {
            Stage::Audit => filters.extend(audit.clone().map(Filter::Audit)),
            Stage::Cors => filters.push(Filter::Cors(Cors::new(&config.cors, options)?)),
            Stage::HttpProxyToWsgi => {
                let given = config.oslo_middleware.enable_proxy_headers_parsing;
                if flag(options, "enable_proxy_headers_parsing", given)? {
                    filters.push(Filter::ProxyHeaders);
                }
            }
            Stage::VersionNegotiation => filters.push(Filter::VersionNegotiation),
            Stage::Authtoken => {
                let identify = identify.cloned().ok_or(PipelineError::NoIdentity)?;
                let delayed = flag(options, "delay_auth_decision", config.keystone_authtoken.delay_auth_decision)?;
                filters.push(Filter::Authenticate { identify, delayed });
            }
            Stage::Context => {
                let anonymous = config.default.allow_anonymous_access;
                filters.push(Filter::Context(Admission::Confirmed { anonymous }));
            }
            Stage::UnauthenticatedContext => filters.push(Filter::Context(Admission::Everybody)),
            Stage::Gzip => filters.push(Filter::Gzip),
            Stage::Debug => filters.push(Filter::Debug),
            Stage::Cache => filters.push(Filter::Cache),
            Stage::CacheManage => filters.push(Filter::CacheManage),
            Stage::Osprofiler if config.profiler.enabled => tracing::warn!("profiling is not part of this version"),
            Stage::Osprofiler => {}
        }
    }
    Ok(filters)
}

/// `/v2` itself (upstream: `mapper.redirect("", "/")` in `glance/common/wsgi.py`).
fn redirect(location: &str) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf8"));
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// A handler that ended in a panic.
#[derive(Debug, thiserror::Error)]
#[error("panic: {0}")]
struct Panicked(String);

fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words");
    Error::internal(Panicked(text.to_owned()))
}

#[cfg(test)]
mod tests;
