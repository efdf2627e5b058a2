//! A server that speaks HTTP/2 over TLS, and a client that sees what is on the wire.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::{LONG, Server, Setup};
use super::tls::with_tls;
use crate::certificates::Authority;

/// The server with a certificate, and who trusts it.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
}

/// One connection.
pub(crate) struct Session {
    pub(crate) requests: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
}

impl Site {
    pub(crate) fn start(more: &str) -> Self {
        Self::start_from(Setup::new(), more)
    }

    pub(crate) fn start_from(setup: Setup, more: &str) -> Self {
        let authority = Authority::new();
        let server = with_tls(setup, &authority.issue(), more).start();
        Self { server, authority }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// After the handshake of TLS.
    pub(crate) async fn socket(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let connector = TlsConnector::from(self.authority.client(None, &["h2"]));
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> Session {
        self.connect_with(&h2::client::Builder::new()).await
    }

    pub(crate) async fn connect_with(&self, builder: &h2::client::Builder) -> Session {
        let (requests, connection) = builder.handshake(self.socket().await).await.unwrap();
        Session { requests, driver: tokio::spawn(connection) }
    }

    /// Makes an image record; returns the path of its data.
    pub(crate) async fn create(&self) -> String {
        let mut session = self.connect().await;
        let body = r#"{"name": "n", "disk_format": "raw", "container_format": "bare"}"#;
        let (response, mut stream) = session.begin("POST", "/v2/images", &[("content-type", "application/json")]).await;
        pour(&mut stream, body.as_bytes()).await.unwrap();
        let (status, body) = answer(response).await.unwrap();
        assert_eq!(status, 201);
        let image: serde_json::Value = serde_json::from_slice(&body).unwrap();
        format!("/v2/images/{}/file", image["id"].as_str().unwrap())
    }

    pub(crate) async fn status_of(&self, data: &str) -> String {
        let (_, body) = self.connect().await.get(data.trim_end_matches("/file")).await.unwrap();
        let image: serde_json::Value = serde_json::from_slice(&body).unwrap();
        image["status"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn becomes(&self, data: &str, status: &str) {
        let start = Instant::now();
        while self.status_of(data).await != status {
            assert!(start.elapsed() < LONG, "never {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Session {
    pub(crate) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        poll_fn(|context| self.requests.poll_ready(context)).await.unwrap();
        self.requests.send_request(request.body(()).unwrap(), false).unwrap()
    }

    pub(crate) async fn upload(&mut self, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
        self.begin("PUT", path, &[("content-type", "application/octet-stream")]).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>), h2::Error> {
        let (response, mut stream) = self.begin("GET", path, &[]).await;
        stream.send_data(Bytes::new(), true)?;
        answer(response).await
    }

    /// The status of the answer to a request with these headers.
    pub(crate) async fn status_of(&mut self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let (response, mut stream) = self.begin("GET", path, headers).await;
        // Refused by its head, the stream may be closed already.
        let _ = stream.send_data(Bytes::new(), true);
        answer(response).await.unwrap().0
    }

    /// Waits for the end of the connection, which must be one in order.
    pub(crate) async fn ends_within(self, limit: Duration) {
        timeout(limit, self.driver).await.expect("the connection is still open").unwrap().unwrap();
        drop(self.requests);
    }
}

pub(crate) async fn answer(response: ResponseFuture) -> Result<(u16, Vec<u8>), h2::Error> {
    let response = timeout(LONG, response).await.expect("no answer")?;
    let (status, mut body, mut data) = (response.status().as_u16(), response.into_body(), Vec::new());
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        data.extend_from_slice(&chunk);
    }
    Ok((status, data))
}

/// Sends all of it as the server takes it, and the end.
pub(crate) async fn pour(stream: &mut SendStream<Bytes>, mut data: &[u8]) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(256 * 1024));
        let room = match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?,
            None => return Err(poll_fn(|context| stream.poll_reset(context)).await?.into()),
        };
        let (now, rest) = data.split_at(room.min(data.len()));
        stream.send_data(Bytes::copy_from_slice(now), rest.is_empty())?;
        data = rest;
    }
    Ok(())
}
