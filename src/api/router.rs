//! How the table of routes is written ([`routes!`]), and how a request's path is looked up in it.

use http::Method;
use matchit::{InsertError, Params};

use super::Error;
use super::content::RequestContent;

/// Whether a caller who may only read gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
}

/// What the table says of a route, beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// A name for logs and metrics.
    pub label: &'static str,
    pub content: RequestContent,
    pub effect: Effect,
    /// The policy's rule; empty where everybody who is known may. Some handlers ask for more, depending on the request.
    pub rule: &'static str,
}

/// Makes an endpoint of the parameters of a path.
type Maker<E> = fn(&Params<'_, '_>) -> E;

/// A path of the table with its methods.
pub(super) struct PathRoutes<E: 'static> {
    /// With `{name}` for each parameter.
    pub path: &'static str,
    /// The methods, each followed by a comma and a blank.
    pub methods: &'static str,
    pub endpoints: &'static [(Method, Maker<E>)],
}

impl<E> PathRoutes<E> {
    /// The endpoint of a method.
    ///
    /// # Errors
    /// 405 with `Allow`, in the order of the table.
    pub(super) fn endpoint(&self, method: &Method, parameters: &Params<'_, '_>) -> Result<E, Error> {
        let found = self.endpoints.iter().find(|(known, _)| known == method);
        let (_, make) = found.ok_or_else(|| Error::method_not_allowed(method, self.methods.trim_end_matches(", ")))?;
        Ok(make(parameters))
    }
}

/// Finds the place of a path in the table.
pub(super) struct PathIndex(matchit::Router<usize>);

impl PathIndex {
    /// # Errors
    /// Two paths of the table contradict each other.
    pub(super) fn new<E>(table: &[PathRoutes<E>]) -> Result<Self, InsertError> {
        let mut router = matchit::Router::new();
        for (place, routes) in table.iter().enumerate() {
            router.insert(routes.path, place)?;
        }
        Ok(Self(router))
    }

    /// `path`: decoded.
    pub(super) fn find<'a>(&self, path: &'a str) -> Option<(usize, Params<'_, 'a>)> {
        let found = self.0.at(path).ok()?;
        Some((*found.value, found.params))
    }
}

/// The table of routes. Each path has its methods, in the order in which upstream's `Allow` lists them; each method has the
/// endpoint's name, the handler with the parameters of the path that it takes, and the fields of [`Route`].
///
/// ```text
/// "/v2/images/{image}" {
///     GET ShowImage => images::show::handle(image), "show_image", Refused, Reads, "get_image";
/// }
/// ```
///
/// It makes the enum `Endpoint`, the array `TABLE`, and for an endpoint its `route()` and its `answer()`.
macro_rules! routes {
    ($($path:literal { $(
        $method:ident $name:ident => $($handler:ident)::+($($parameter:ident),*),
        $label:literal, $content:ident, $effect:ident, $rule:expr;
    )+ })+) => {
        /// What a request asks for, with the parameters of its path.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) enum Endpoint {
            $($($name { $($parameter: String),* },)+)+
        }

        pub(super) const TABLE: &[PathRoutes<Endpoint>] = &[$(PathRoutes {
            path: $path,
            methods: concat!($(stringify!($method), ", "),+),
            endpoints: &[$((Method::$method, |_parameters| Endpoint::$name {
                $($parameter: _parameters.get(stringify!($parameter)).unwrap_or_default().to_owned()),*
            })),+],
        }),+];

        impl Endpoint {
            pub(super) const fn route(&self) -> Route {
                match self {
                    $($(Self::$name { .. } => Route {
                        label: $label,
                        content: RequestContent::$content,
                        effect: Effect::$effect,
                        rule: $rule,
                    },)+)+
                }
            }

            /// Calls the handler. Its future has a place of its own: within this one, the largest of all handlers would count for each
            /// request, in all futures around this one, and be moved with them several times.
            pub(super) async fn answer(
                self,
                api: &Api,
                call: &Call<'_>,
                body: RequestBody,
            ) -> Result<Response, Error> {
                match self {
                    $($(Self::$name { $($parameter),* } => {
                        routes!(@call $content $($handler)::+, api, call, body $(, $parameter)*)
                    })+)+
                }
            }
        }
    };
    (@call Refused $handler:path, $api:ident, $call:ident, $body:ident $(, $parameter:ident)*) => {
        Box::pin($handler($api, $call $(, &$parameter)*)).await
    };
    (@call Ignored $handler:path, $api:ident, $call:ident, $body:ident $(, $parameter:ident)*) => {
        Box::pin($handler($api, $call $(, &$parameter)*)).await
    };
    (@call $read:ident $handler:path, $api:ident, $call:ident, $body:ident $(, $parameter:ident)*) => {
        Box::pin($handler($api, $call, $body $(, &$parameter)*)).await
    };
}

pub(super) use routes;
