use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::conformance::{self, pattern, read};
use super::*;
use crate::config::ImportFilteringOptsSection;
use crate::keystone::outgoing::Changing;

type Body = http_body_util::Either<Full<Bytes>, StreamBody<Pieces>>;
type Pieces = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, io::Error>>>;

/// A web server with a handful of paths; it lives as long as the test's runtime.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    });
    address
}

/// A server that gives the same answer to all and hangs up.
async fn rude_server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn answer(request: &http::Request<Incoming>) -> http::Response<Body> {
    let builder = http::Response::builder();
    let whole = |data: Bytes| Body::Left(Full::new(data));
    let redirect = |status: u16, target: String| {
        http::Response::builder().status(status).header(LOCATION, target).body(whole(Bytes::new()))
    };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = request.uri().path();
    let response = match path.split('/').nth(1).unwrap_or_default() {
        "image" => builder.body(whole(pattern(500_000))),
        "secret" => match request.headers().get("authorization").map(|value| value.as_bytes()) {
            Some(b"Basic dXNlcjpwYXNz") => builder.body(whole(Bytes::from_static(b"secret"))),
            _ => builder.status(401).body(whole(Bytes::new())),
        },
        "unsized" => {
            let pieces = vec![Ok(Frame::data(pattern(1000)))];
            builder.body(Body::Right(StreamBody::new(futures_util::stream::iter(pieces))))
        }
        "hops" => match path.rsplit('/').next().and_then(|count| count.parse::<u32>().ok()) {
            Some(0) | None => redirect(301, format!("http://{host}/image")),
            Some(left) => redirect(302, format!("http://{host}/hops/{}", left - 1)),
        },
        "relative" => redirect(302, "/image".to_owned()),
        "elsewhere" => redirect(302, format!("http://localhost:{}/image", host.rsplit(':').next().unwrap_or_default())),
        "to-file" => redirect(302, "file:///etc/passwd".to_owned()),
        "see-other" => redirect(303, format!("http://{host}/image")),
        "nowhere" => builder.status(302).body(whole(Bytes::new())),
        "teapot" => builder.status(418).body(whole(Bytes::from_static(b"short and stout"))),
        _ => builder.status(404).body(whole(Bytes::new())),
    };
    response.unwrap()
}

fn options_of_filter() -> ImportFilteringOptsSection {
    ImportFilteringOptsSection {
        allowed_hosts: vec!["127.0.0.1".to_owned(), "rebound.example".to_owned()],
        allowed_ports: Vec::new(),
        ..ImportFilteringOptsSection::default()
    }
}

fn store() -> HttpStore {
    filtered(UrlFilter::new(&options_of_filter()))
}

/// No proxy of the environment stands between the test and its server.
fn filtered(filter: UrlFilter) -> HttpStore {
    let mut store = HttpStore::open("web", &HttpOptions::default(), filter).unwrap();
    store.client = with_proxies(&store.client, Vec::new());
    store.background = store.client.in_background();
    store
}

fn with_proxies(client: &Outgoing, proxies: Vec<(String, String)>) -> Outgoing {
    Outgoing::new(Options { proxies: Proxies::Listed(proxies), ..client.options().clone() }).unwrap()
}

fn location(url: &str) -> Location {
    Location::parse(url).unwrap()
}

#[tokio::test]
async fn images_are_read_and_nothing_else() {
    let (store, server) = (store(), server().await);
    let image = location(&format!("http://{server}/image"));
    assert_eq!(store.size(&StoreContext::default(), &image).await.unwrap(), 500_000);
    let back = read(store.open(&StoreContext::default(), &image, None).await.unwrap()).await.unwrap();
    assert!(back == pattern(500_000));
    conformance::read_only(&store, &image).await;
    conformance::missing(&store, &location(&format!("http://{server}/missing"))).await;
    assert!(!store.can_seek());
    let error = store.open(&StoreContext::default(), &image, Some(0..5)).await.err().unwrap();
    assert!(matches!(error, StoreError::Unsupported { .. }));
    assert_eq!(error.to_string(), "Getting images randomly from this store is not supported. Offset: 0, length: 5");
}

#[tokio::test]
async fn tasks_read_by_connections_of_their_own() {
    let (mut store, server) = (store(), server().await);
    assert!(store.background.options().in_background);
    let nobody = ("all".to_owned(), "127.0.0.1:1".to_owned());
    store.client = with_proxies(&store.client, vec![nobody]);
    let image = location(&format!("http://{server}/image"));
    let read = async |priority| {
        let context = StoreContext::default().with_priority(priority);
        read(store.open(&context, &image, None).await.ok()?).await.ok()
    };
    assert!(read(Priority::Background).await.unwrap() == pattern(500_000));
    assert_eq!(read(Priority::Request).await, None);
}

#[tokio::test]
async fn a_size_that_is_not_told_is_zero() {
    let (store, server) = (store(), server().await);
    let image = location(&format!("http://{server}/unsized"));
    assert_eq!(store.size(&StoreContext::default(), &image).await.unwrap(), 0);
    assert_eq!(read(store.open(&StoreContext::default(), &image, None).await.unwrap()).await.unwrap(), pattern(1000));
}

#[tokio::test]
async fn credentials_in_the_url_are_used_and_not_shown() {
    let (store, server) = (store(), server().await);
    let good = location(&format!("http://user:pass@{server}/secret"));
    assert_eq!(read(store.open(&StoreContext::default(), &good, None).await.unwrap()).await.unwrap(), b"secret");
    let bad = location(&format!("http://user:wrong@{server}/secret"));
    let error = store.open(&StoreContext::default(), &bad, None).await.err().unwrap();
    assert!(matches!(error, StoreError::BadLocation { .. }));
    let closed = location("http://user:wrong@127.0.0.1:1/secret");
    for error in [
        error,
        store.open(&StoreContext::default(), &closed, None).await.err().unwrap(),
        store.size(&StoreContext::default(), &closed).await.unwrap_err(),
    ] {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("wrong") && !shown.contains("user"), "{shown}");
    }
}

#[tokio::test]
async fn redirections_are_followed_up_to_five_requests() {
    let (store, server) = (store(), server().await);
    for (path, expected) in [
        ("hops/0", "ok"),
        ("hops/3", "ok"),
        ("hops/4", "too many"),
        ("relative", "bad"),
        ("elsewhere", "bad"),
        ("to-file", "bad"),
        ("see-other", "bad"),
        ("nowhere", "bad"),
        ("teapot", "bad"),
    ] {
        let outcome = match store
            .open(&StoreContext::default(), &location(&format!("http://{server}/{path}")), None)
            .await
        {
            Ok(reader) => read(reader).await.map(|data| if data == pattern(500_000) { "ok" } else { "other" }).unwrap(),
            Err(StoreError::TooManyRedirects { .. }) => "too many",
            Err(StoreError::BadLocation { .. }) => "bad",
            Err(error) => panic!("{path}: {error}"),
        };
        assert_eq!(outcome, expected, "{path}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_told_from_a_bad_location() {
    let store = store();
    let closed = location("http://127.0.0.1:1/image");
    assert!(matches!(
        store.open(&StoreContext::default(), &closed, None).await.err(),
        Some(StoreError::RemoteUnavailable { .. })
    ));
    assert!(matches!(store.size(&StoreContext::default(), &closed).await, Err(StoreError::BadLocation { .. })));
}

#[tokio::test]
async fn a_broken_answer_is_an_error_not_an_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let image = location(&format!("http://{}/image", rude_server(answer).await));
        let reader = store().open(&StoreContext::default(), &image, None).await.unwrap();
        read(reader).await.unwrap_err();
    }
}

#[test]
fn urls_are_checked_as_upstream_does() {
    for (url, good) in [
        ("http://host/path", true),
        ("https://user:pass@host:8080/path?query", true),
        ("http://[2001:db8::1]:80/x", true),
        ("HTTP://host/path", false),
        ("http:///path", false),
        ("http://", false),
        ("http://user@host/path", false),
        ("http://a:b:c@host/path", false),
        ("http://host:port/path", false),
        ("ftp://host/path", false),
    ] {
        assert_eq!(check(url).is_ok(), good, "{url}");
    }
}

fn open(options: &HttpOptions) -> Result<HttpStore, StoreError> {
    HttpStore::open("web", options, UrlFilter::new(&ImportFilteringOptsSection::default()))
}

#[test]
fn bad_options_are_told_in_words() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let empty = file.path().to_str().unwrap();
    for (options, words) in [
        (HttpOptions { https_ca_certificates_file: Some("/none".to_owned()), ..Default::default() }, "/none"),
        (HttpOptions { https_ca_certificates_file: Some(empty.to_owned()), ..Default::default() }, "no certificate"),
        (
            HttpOptions { http_proxy_information: vec![("ftp".to_owned(), "host:1".to_owned())], ..Default::default() },
            "ftp",
        ),
    ] {
        let error = open(&options).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let proxies = [("http", "10.0.0.1:3128"), ("https", "http://u:p@proxy:3128")];
    let proxies = proxies.map(|(scheme, proxy)| (scheme.to_owned(), proxy.to_owned())).to_vec();
    open(&HttpOptions { http_proxy_information: proxies, ..Default::default() }).unwrap();
}

#[tokio::test]
async fn a_location_that_fails_at_once_is_passed_over() {
    let server = server().await;
    let place = tempfile::tempdir().unwrap();
    let mut config = crate::config::Config::default();
    config.driver_options.set("filesystem_store_datadir", &[place.path().to_str().unwrap()]);
    config.import_filtering_opts = options_of_filter();
    let stores = super::super::Stores::open(&config).unwrap();
    let copy = conformance::put(&*stores.default_store().store, "copy", Bytes::from_static(b"copy")).await;
    let rude = rude_server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
    let (broken, missing) = (format!("http://{rude}/image"), format!("http://{server}/missing"));
    let places =
        [missing.as_str(), broken.as_str(), copy.url()].map(|url| super::super::LocationRef { url, store: None });
    let reader = stores.open_any(&StoreContext::default(), &places, None).await.unwrap();
    assert_eq!(read(reader).await.unwrap(), b"copy");
    assert!(matches!(
        stores.open_any(&StoreContext::default(), &places[..2], None).await.err(),
        Some(StoreError::RemoteUnavailable { .. })
    ));
    let whole = super::super::LocationRef { url: &format!("http://{server}/image"), store: None };
    let reader = stores.open_any(&StoreContext::default(), &[whole], None).await.unwrap();
    assert!(read(reader).await.unwrap() == pattern(500_000));
}

#[tokio::test]
async fn a_name_that_leads_inside_later_is_not_read() {
    let server = server().await;
    let address = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    let options = ImportFilteringOptsSection { allowed_hosts: Vec::new(), ..options_of_filter() };
    let filter = UrlFilter::with_resolver(
        &options,
        Arc::new(Changing::new([address("192.0.2.1"), address("127.0.0.1"), address("127.0.0.1")])),
    );
    let url = format!("http://rebound.example:{}/image", server.port());
    // As at the registration of the location.
    filter.addresses(&url).await.unwrap();
    let store = filtered(filter);
    for refused in [
        store.open(&StoreContext::default(), &location(&url), None).await.err().unwrap(),
        store.size(&StoreContext::default(), &location(&url)).await.unwrap_err(),
    ] {
        assert!(matches!(&refused, StoreError::BadLocation { reason } if reason.contains("forbidden")), "{refused}");
    }
    // A redirection is looked up likewise; the allow list has the first host only.
    let options = ImportFilteringOptsSection { allowed_hosts: vec!["127.0.0.1".to_owned()], ..options_of_filter() };
    let store = filtered(UrlFilter::with_resolver(&options, Arc::new(Changing::new([address("127.0.0.1")]))));
    let error = store
        .open(&StoreContext::default(), &location(&format!("http://{server}/elsewhere")), None)
        .await
        .err()
        .unwrap();
    assert!(matches!(&error, StoreError::BadLocation { reason } if reason.contains("forbidden")), "{error}");
}

#[tokio::test]
async fn a_location_that_is_forbidden_by_now_is_not_read() {
    let server = server().await;
    let image = location(&format!("http://{server}/image"));
    store().open(&StoreContext::default(), &image, None).await.unwrap();
    let ports = ImportFilteringOptsSection { allowed_ports: vec!["80".to_owned()], ..options_of_filter() };
    let hosts = ImportFilteringOptsSection { allowed_hosts: vec!["other".to_owned()], ..options_of_filter() };
    for options in [ports, hosts, ImportFilteringOptsSection::default()] {
        let store = filtered(UrlFilter::new(&options));
        assert!(matches!(
            store.open(&StoreContext::default(), &image, None).await.err(),
            Some(StoreError::BadLocation { .. })
        ));
        assert!(matches!(store.size(&StoreContext::default(), &image).await, Err(StoreError::BadLocation { .. })));
    }
}
