//! A Keystone that refuses, is slow, away or elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::*;
use super::{ask, authenticator, config, keystone, known, logged_in, logged_in_with, token};
use crate::config::Origin;
use crate::keystone::KeystoneError;
use crate::keystone::fake::{Answer, Server, plain, redirect};

/// Much for a busy machine, and less than the minute for which the service may wait in tests of this.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_service_logs_in_again_when_its_token_is_refused() {
    let server = keystone(|_, request| match request.headers()["x-auth-token"].to_str().unwrap() {
        "own-0" => Answer::Now(plain(401, "{}")),
        _ => known(&token(3600, &[])),
    })
    .await;
    let authenticator = authenticator(&server);
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some());
    assert_eq!(server.count("POST", "/auth/tokens"), 2);
}

#[tokio::test]
async fn trouble_with_keystone_is_not_blamed_on_the_caller_and_not_kept() {
    let trouble = Arc::new(Mutex::new(None));
    let current = trouble.clone();
    let server = keystone(move |_, _| match &*current.lock().unwrap() {
        Some((status, body)) => Answer::Now(plain(*status, Bytes::clone(body))),
        None => known(&token(3600, &[])),
    })
    .await;
    let authenticator = authenticator(&server);
    for (status, body, expected) in [
        (500, Bytes::from_static(b"{}"), "500 Internal Server Error"),
        (503, Bytes::from_static(b""), "503 Service Unavailable"),
        (403, Bytes::from_static(b"{}"), "403 Forbidden"),
        (401, Bytes::from_static(b"{}"), "does not accept the token of the service"),
        (200, Bytes::from_static(b"<html>"), "makes no sense"),
        (200, Bytes::from_static(b"{\"token\": {}}"), "makes no sense"),
        (200, Bytes::from(vec![b' '; 9 << 20]), "more than 8388608 bytes"),
    ] {
        *trouble.lock().unwrap() = Some((status, body));
        let error = ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{status}: {error}");
    }
    *trouble.lock().unwrap() = None;
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_keystone_that_is_down_fails_soon() {
    let server = keystone(|_, _| known(&token(3600, &[]))).await;
    let mut config = config(server.url("/v3"));
    config.keystone_authtoken.http_connect_timeout = Some(60);
    let (authenticator, address) = (Authenticator::new(&config).unwrap(), server.address);
    drop(server);
    // The aborted task still holds the listener until the runtime drops it.
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.unwrap();
    let answer = timeout(SOON, ask(&authenticator, &[("x-auth-token", "t")])).await;
    let error = answer.expect("it takes long").unwrap_err();
    assert!(matches!(*error, KeystoneError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("Connection refused") && !error.to_string().contains("/v3"), "{error}");
}

#[tokio::test]
async fn a_slow_keystone_has_a_bound_that_waiting_callers_share() {
    let late = || Answer::Late(Duration::from_secs(60), plain(200, "{}"));
    // It does not answer a login, or after that the question where its API is.
    let logins = Server::start(move |_| late()).await;
    let versions = Server::start(move |request| match *request.method() {
        Method::POST => logged_in_with(request, "own", "/elsewhere"),
        _ => late(),
    });
    let versions = versions.await;
    for server in [&logins, &versions] {
        let mut config = config(server.url("/v3"));
        config.keystone_authtoken.http_connect_timeout = Some(1);
        let authenticator = Arc::new(Authenticator::new(&config).unwrap());
        let started = Instant::now();
        let tasks: Vec<_> = (0..20)
            .map(|number: u8| {
                let authenticator = authenticator.clone();
                tokio::spawn(async move {
                    let value = HeaderValue::try_from(format!("token-{number}")).unwrap();
                    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-auth-token"), value)]);
                    authenticator.authenticate(&Method::GET, "/", &headers).await.is_err()
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap());
        }
        // Twenty attempts one after the other would take twenty seconds.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    assert_eq!((versions.count("POST", "/v3"), versions.count("GET", "/elsewhere")), (1, 1));
}

#[tokio::test]
async fn connections_are_tried_again() {
    // Logs in, then leads to a port where nobody listens.
    let server = Server::start(|request| {
        let Answer::Now(response) = logged_in(request, "own") else { unreachable!() };
        let mut token = token(3600, &[]);
        token["catalog"] = json!([{"type": "identity", "endpoints": [
            {"interface": "internal", "region": "One", "url": "http://127.0.0.1:1/v3"}]}]);
        let headers = response.headers().clone();
        let mut response = plain(201, json!({"token": token}).to_string());
        *response.headers_mut() = headers;
        Answer::Now(response)
    })
    .await;
    let mut config = config(server.url("/v3"));
    config.keystone_authtoken.http_request_max_retries = 1;
    let authenticator = Authenticator::new(&config).unwrap();
    let started = Instant::now();
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.is_err());
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_is_replaced() {
    let breaks = AtomicBool::new(true);
    let server = keystone(move |_, _| match breaks.swap(false, Ordering::Relaxed) {
        true => Answer::Never,
        false => known(&token(3600, &[])),
    })
    .await;
    let mut config = config(server.url("/v3"));
    config.keystone_authtoken.http_request_max_retries = 1;
    let authenticator = Authenticator::new(&config).unwrap();
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some());
    assert_eq!(server.count("GET", "/v3/auth/tokens"), 2);
}

#[tokio::test]
async fn a_refused_login_says_so() {
    let server = Server::start(|_| Answer::Now(plain(401, "{}"))).await;
    let error = ask(&authenticator(&server), &[("x-auth-token", "t")]).await.unwrap_err();
    assert_eq!(error.to_string(), "Keystone refuses the login of the service itself: 401 Unauthorized");
}

#[tokio::test]
async fn a_url_without_version_is_asked_for_versions() {
    let server = Server::start(|request| match (request.method(), request.uri().path()) {
        (&Method::GET, "/identity/") => {
            let links = json!([{"rel": "self", "href": "v3/"}]);
            Answer::Now(plain(300, json!({"versions": {"values": [{"id": "v3.14", "links": links}]}}).to_string()))
        }
        (&Method::POST, "/identity/v3/auth/tokens") => logged_in(request, "own"),
        (&Method::GET, "/v3/auth/tokens") => known(&token(3600, &[])),
        _ => Answer::Now(plain(404, "{}")),
    })
    .await;
    let authenticator = Authenticator::new(&config(server.url("/identity/"))).unwrap();
    assert!(ask(&authenticator, &[("x-auth-token", "t")]).await.unwrap().is_some());
}

#[tokio::test]
async fn the_region_must_be_in_the_catalog() {
    let server = keystone(|_, _| known(&token(3600, &[]))).await;
    let mut config = config(server.url("/v3"));
    let option = ("keystone_authtoken".to_owned(), "region_name".to_owned());
    config.origins = Arc::new([(option, Origin::from("/etc/glance/glance-api.conf:7"))].into());
    for (region, found) in [("One", true), ("Two", false), ("", true)] {
        config.keystone_authtoken.region_name = Some(region.to_owned());
        let outcome = ask(&Authenticator::new(&config).unwrap(), &[("x-auth-token", "t")]).await;
        assert_eq!(outcome.is_ok(), found, "{region}");
        if let Err(error) = outcome {
            let expected = "/etc/glance/glance-api.conf:7: [keystone_authtoken] region_name is Two, but the service catalog \
                            has no internal endpoint of identity there; its regions are One";
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_server_gets_neither_password_nor_token() {
    let other = Server::start(|_| known(&token(3600, &[]))).await;
    let elsewhere = other.url("/v3/auth/tokens");
    for login_moves in [true, false] {
        let elsewhere = elsewhere.clone();
        let server = Server::start(move |request| match request.method() {
            &Method::POST if !login_moves => logged_in(request, "own"),
            _ => Answer::Now(redirect(302, &elsewhere)),
        })
        .await;
        let error = ask(&authenticator(&server), &[("x-auth-token", "t")]).await.unwrap_err().to_string();
        let expected =
            format!("Keystone cannot be reached: http://{} redirects to http://{}", server.address, other.address);
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(other.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed() {
    let server = Server::start(|request| match (request.method(), request.uri().path()) {
        (&Method::POST, "/v3/auth/tokens") => Answer::Now(redirect(301, "/v3/moved/tokens")),
        (&Method::POST, "/v3/moved/tokens") => logged_in(request, "own"),
        (&Method::GET, "/v3/auth/tokens") => Answer::Now(redirect(307, "/v3/there")),
        (&Method::GET, "/v3/there") if request.headers()["x-auth-token"] == "own" => known(&token(3600, &[])),
        _ => Answer::Now(plain(404, "{}")),
    })
    .await;
    assert!(ask(&authenticator(&server), &[("x-auth-token", "t")]).await.unwrap().is_some());
}
