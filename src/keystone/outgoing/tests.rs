//! Who is asked, who is not, and what is believed of an answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderName, Method};

use super::*;
use crate::config::ImportFilteringOptsSection;
use crate::keystone::fake::{Answer as Reply, Server, plain, redirect};

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

fn client(options: Options) -> Outgoing {
    Outgoing::new(Options { proxies: Proxies::Listed(Vec::new()), ..options }).unwrap()
}

/// A server that redirects `/from` to what `target` makes of its own address.
async fn redirecting(status: u16, target: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        let host = request.headers()["host"].to_str().unwrap();
        Reply::Now(match request.uri().path() {
            "/from" => redirect(status, &target(host)),
            _ => plain(200, request.headers().get(TOKEN).map_or(Vec::new(), |token| token.as_bytes().to_vec())),
        })
    })
    .await
}

#[tokio::test]
async fn redirects_within_an_origin_keep_method_body_and_token() {
    for status in [301, 302, 303, 307, 308] {
        for relative in [true, false] {
            let server = redirecting(status, move |host| match relative {
                true => "/to?x=1".to_owned(),
                false => format!("http://{host}/to?x=1"),
            })
            .await;
            let request = client(Options::default()).post(server.url("/from")).header(TOKEN, "secret").body("text");
            let answer = request.send().await.unwrap();
            assert_eq!(answer.bytes(100).await.unwrap(), b"secret");
            let seen = server.seen.lock().unwrap();
            assert_eq!(seen[1], ("POST".to_owned(), "/to?x=1".to_owned(), "text".to_owned()), "{status}");
        }
    }
}

#[tokio::test]
async fn redirects_out_of_an_origin_are_errors_and_get_no_token() {
    let other = Server::start(|_| Reply::Now(plain(200, ""))).await;
    let port = other.address.port();
    for target in [
        format!("http://127.0.0.1:{port}/v3?q=hush"),
        format!("http://localhost:{port}/v3?q=hush"),
        format!("//user:hush@127.0.0.1:{port}/v3"),
        "https:".to_owned(),
        "ftp://127.0.0.1/hush".to_owned(),
    ] {
        let expected = target.clone();
        let server = redirecting(302, move |host| match target.as_str() {
            "https:" => format!("https://{host}/hush"),
            target => target.to_owned(),
        })
        .await;
        let request = client(Options::default()).get(server.url("/from")).header(TOKEN, "secret");
        let error = request.send().await.unwrap_err();
        assert!(matches!(error, RequestError::OtherOrigin { .. }), "{expected}: {error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("http://{} redirects to ", server.address)), "{text}");
        assert!(!text.contains("hush") && !text.contains("/from"), "{text}");
    }
    assert!(other.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn redirects_may_be_the_callers_business_and_come_to_an_end() {
    let server = redirecting(302, |_| "/from".to_owned()).await;
    let error = client(Options::default()).get(server.url("/from")).send().await.unwrap_err();
    assert_eq!(error.to_string(), "more than 5 redirects");
    assert_eq!(server.count("GET", "/from"), 6);
    let returned = client(Options { redirects: Redirects::Returned, ..Options::default() });
    let answer = returned.get(server.url("/from")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].as_bytes()), (302, &b"/from"[..]));
    // One that leads nowhere is an answer like others.
    let server = Server::start(|_| Reply::Now(plain(302, "x"))).await;
    assert_eq!(client(Options::default()).get(server.url("/")).send().await.unwrap().status(), 302);
}

#[tokio::test]
async fn time_and_size_have_bounds() {
    let server = Server::start(|request| match request.uri().path() {
        "/slow" => Reply::Late(Duration::from_secs(30), plain(200, "")),
        "/hop" => Reply::Late(Duration::from_millis(100), redirect(302, "/hop")),
        _ => Reply::Now(plain(200, vec![b'x'; 1000])),
    })
    .await;
    let quick = client(Options { timeout: Timeout::Whole(Duration::from_millis(250)), ..Options::default() });
    let steps = Timeout::Step { connect: Duration::from_secs(5), read: Duration::from_millis(250) };
    let patient = client(Options { timeout: steps, ..Options::default() });
    for (client, path) in [(&quick, "/slow"), (&quick, "/hop"), (&patient, "/slow")] {
        let started = Instant::now();
        let error = client.get(server.url(path)).send().await.unwrap_err();
        assert!(error.to_string().contains("timed out") && !error.is_broken_connection(), "{path}: {error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{path}");
    }
    for (limit, fits) in [(1000, true), (999, false)] {
        let answer = patient.get(server.url("/")).send().await.unwrap();
        assert_eq!(answer.bytes(limit).await.is_ok(), fits);
    }
}

/// DNS rebinding: a name that leads elsewhere by the time of the connection than when the filter looked at it.
#[tokio::test]
async fn the_address_is_approved_when_the_connection_is_made() {
    let server = Server::start(|_| Reply::Now(plain(200, "inside"))).await;
    let addresses = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    let url = format!("http://rebound.example:{}/", server.address.port());
    // Harmless when it is first looked up, this machine from then on.
    let options = ImportFilteringOptsSection { allowed_ports: Vec::new(), ..ImportFilteringOptsSection::default() };
    let resolver = Arc::new(Changing::new([addresses("192.0.2.1"), addresses("127.0.0.1")]));
    let filter = UrlFilter::with_resolver(&options, resolver);
    filter.addresses(&url).await.unwrap();
    let rebound = client(Options { filter: Some(filter), ..Options::default() }).get(url.as_str()).send().await;
    assert!(matches!(&rebound, Err(RequestError::Refused(Refused::Addresses(_)))), "{rebound:?}");
    assert!(server.seen.lock().unwrap().is_empty());
    // The same name on the allow list.
    let options = ImportFilteringOptsSection { allowed_hosts: vec!["rebound.example".to_owned()], ..options };
    let filter = UrlFilter::with_resolver(&options, Arc::new(Changing::new([addresses("127.0.0.1")])));
    let client = client(Options { filter: Some(filter), ..Options::default() });
    assert_eq!(client.get(url).send().await.unwrap().bytes(100).await.unwrap(), b"inside");
    // What needs no resolver is refused before anything is sent.
    let address = client.get(server.url("/")).send().await;
    assert!(matches!(&address, Err(RequestError::Refused(Refused::Host(_)))), "{address:?}");
    assert_eq!(server.count("GET", ""), 1);
}

#[tokio::test]
async fn a_proxy_is_the_operators_choice_but_the_url_is_not() {
    let proxy = Server::start(|_| Reply::Now(plain(200, "by proxy"))).await;
    let listed = |port| Proxies::Listed(vec![("http".to_owned(), format!("localhost:{port}"))]);
    let filter = |address: &str| {
        let resolver = Changing::new([vec![address.parse().unwrap()]]);
        Some(UrlFilter::with_resolver(&ImportFilteringOptsSection::default(), Arc::new(resolver)))
    };
    let options = |filter| Options { proxies: listed(proxy.address.port()), filter, ..Options::default() };
    let good = Outgoing::new(options(filter("192.0.2.1"))).unwrap();
    let answer = good.get("http://web.example/image").send().await.unwrap();
    assert_eq!(answer.bytes(100).await.unwrap(), b"by proxy");
    let bad = Outgoing::new(options(filter("169.254.169.254"))).unwrap();
    let refused = bad.get("http://web.example/image").send().await;
    assert!(matches!(&refused, Err(RequestError::Refused(Refused::Addresses(_)))), "{refused:?}");
    assert_eq!(proxy.count("GET", ""), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before() {
    let client = client(Options::default());
    let error = client.get("http://127.0.0.1:1/").header(AUTHORIZATION, "a\nb").send().await.unwrap_err();
    assert!(matches!(error, RequestError::Header), "{error}");
    let error = client.request(Method::HEAD, "no url").send().await.unwrap_err();
    assert!(matches!(error, RequestError::Url(_)), "{error}");
    let error = client.get("http://u:hush@127.0.0.1:1/hush").send().await.unwrap_err();
    assert!(error.is_broken_connection() && !format!("{error} {error:?}").contains("hush"), "{error}");
}

#[test]
fn options_that_cannot_be_used_are_told_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = |path: &std::path::Path| Some(path.to_str().unwrap().to_owned());
    let tls = |tls| Options { tls, ..Options::default() };
    let proxy = |scheme: &str, url: &str| Options {
        proxies: Proxies::Listed(vec![(scheme.to_owned(), url.to_owned())]),
        ..Options::default()
    };
    for (options, expected) in [
        (tls(Tls { ca_file: path("/none".as_ref()), ..Tls::default() }), "cannot read /none"),
        (tls(Tls { ca_file: path(file.path()), ..Tls::default() }), "no certificate in it"),
        (tls(Tls { cert_file: path(file.path()), ..Tls::default() }), "holds no usable PEM"),
        (proxy("ftp", "host:1"), "ftp is neither http, https nor all"),
        (proxy("http", "http://u:hush@:bad"), "bad URL of a proxy for http"),
    ] {
        let error = Outgoing::new(options).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
    // Nobody is checked, so nothing is read.
    Outgoing::new(tls(Tls { ca_file: path("/none".as_ref()), insecure: true, ..Tls::default() })).unwrap();
}

#[test]
fn a_client_depends_on_its_own_files_or_on_the_certificates_of_the_system() {
    let system = Tls::default().files();
    let tls = |ca_file: Option<&str>, insecure| Tls {
        ca_file: ca_file.map(str::to_owned),
        cert_file: Some("/own.pem".to_owned()),
        insecure,
        ..Tls::default()
    };
    let named = |paths: &[&str]| paths.iter().map(std::path::PathBuf::from).collect::<Vec<_>>();
    assert_eq!(tls(Some("/ca.pem"), false).files(), named(&["/ca.pem", "/own.pem"]));
    assert_eq!(tls(Some("/ca.pem"), true).files(), named(&["/own.pem"]));
    assert_eq!(tls(None, true).files(), named(&["/own.pem"]));
    assert_eq!(tls(None, false).files(), [named(&["/own.pem"]), system].concat());
}
