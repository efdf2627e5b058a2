//! A server whose answers a test decides.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Method, path with query, and body of each request so far.
    pub(crate) seen: Arc<Mutex<Vec<(String, String, String)>>>,
    _tasks: JoinSet<()>,
}

/// What the server does with a request.
pub(crate) enum Answer {
    Now(Response<Full<Bytes>>),
    /// After so long.
    Late(Duration, Response<Full<Bytes>>),
    /// Closes the connection instead.
    Never,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Request<Bytes>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), seen.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                let service =
                    service_fn(move |request: Request<Incoming>| respond(request, answer.clone(), log.clone()));
                connections.spawn(async move {
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    drop(served.await);
                });
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests had this method, and this text in their path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(m, p, _)| m == method && p.contains(path)).count()
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: Arc<impl Fn(&Request<Bytes>) -> Answer>,
    log: Arc<Mutex<Vec<(String, String, String)>>>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push((head.method.to_string(), head.uri.to_string(), text));
    match answer(&Request::from_parts(head, body)) {
        Answer::Now(response) => Ok(response),
        Answer::Late(delay, response) => {
            tokio::time::sleep(delay).await;
            Ok(response)
        }
        Answer::Never => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// A redirect.
pub(crate) fn redirect(status: u16, target: &str) -> Response<Full<Bytes>> {
    let mut response = plain(status, "");
    response.headers_mut().insert(http::header::LOCATION, target.parse().unwrap());
    response
}

/// An answer without headers.
pub(crate) fn plain(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}
