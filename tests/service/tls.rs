//! TLS: what is negotiated, who is let in, what a reload changes.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::certificates::{Authority, Pair};

use super::harness::{Client, LONG, Setup, answered};

type Tls = Client<StreamOwned<ClientConnection, TcpStream>>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    Client::over(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream))
}

fn certificate(client: &Tls) -> Vec<u8> {
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

const FILES: &str = "cert_file = DIR/cert.pem\nkey_file = DIR/key.pem";

/// A server with this certificate and more options.
pub(crate) fn with_tls(setup: Setup, pair: &Pair, more: &str) -> Setup {
    fs::write(setup.path("cert.pem"), &pair.certificate).unwrap();
    fs::write(setup.path("key.pem"), &pair.key).unwrap();
    let text = format!("{FILES}\n{more}").replace("DIR", &setup.directory.path().display().to_string());
    setup.more(&text)
}

#[test]
fn both_versions_of_http_are_spoken() {
    let authority = Authority::new();
    let server = with_tls(Setup::new(), &authority.issue(), "").start();
    for (offered, chosen) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let mut client = connect(server.address(), &authority.client(None, offered));
        if chosen == "h2" {
            client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
            let mut frame = [0; 9];
            std::io::Read::read_exact(&mut client.stream, &mut frame).unwrap();
            assert_eq!(frame[3], 4, "the server's settings come first");
        } else {
            answered(client.get("/versions"));
        }
        assert_eq!(client.stream.conn.alpn_protocol(), Some(chosen.as_bytes()));
    }
    let mut plain = server.connect();
    assert!(plain.get("/versions").is_err(), "HTTP without TLS has no answer");
}

#[test]
fn a_reload_brings_a_new_certificate_and_breaks_nothing() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(), authority.issue());
    let server = with_tls(Setup::new(), &first, "").start();
    let config = authority.client(None, &["http/1.1"]);
    let mut old = connect(server.address(), &config);
    answered(old.get("/versions"));
    assert_eq!(certificate(&old), der(&first));

    // The files change one after the other: until both have, they do not belong together.
    fs::write(server.path("cert.pem"), &second.certificate).unwrap();
    let (ok, words) = server.reload();
    assert!(!ok && words.contains("does not belong to the certificate"), "{words}");
    answered(connect(server.address(), &config).get("/versions"));

    fs::write(server.path("key.pem"), &second.key).unwrap();
    assert_eq!(server.reload(), (true, "configuration reloaded".to_owned()));
    let mut new = connect(server.address(), &config);
    answered(new.get("/versions"));
    // A resumed session does not show a certificate, so this one must be a new client.
    let mut stranger = connect(server.address(), &authority.client(None, &["http/1.1"]));
    answered(stranger.get("/versions"));
    assert_eq!(certificate(&stranger), der(&second));
    answered(old.get("/versions"));
}

#[test]
fn an_authority_makes_client_certificates_mandatory() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let setup = Setup::new();
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    let server = with_tls(setup, &authority.issue(), "ca_file = DIR/ca.pem").start();
    let friend = authority.client(Some(&authority.issue()), &["http/1.1"]);
    answered(connect(server.address(), &friend).get("/versions"));
    for (identity, who) in [(None, "nobody"), (Some(foreign.issue()), "a stranger")] {
        let config = authority.client(identity.as_ref(), &["http/1.1"]);
        assert!(connect(server.address(), &config).get("/versions").is_err(), "{who} was let in");
    }
    // With another authority, friends of before are strangers, also those with a ticket.
    fs::write(server.path("ca.pem"), foreign.pem()).unwrap();
    assert!(server.reload().0);
    assert!(connect(server.address(), &friend).get("/versions").is_err(), "a ticket outlived its authority");
    let config = authority.client(Some(&foreign.issue()), &["http/1.1"]);
    answered(connect(server.address(), &config).get("/versions"));
}

#[test]
fn tls_is_switched_on_and_off_on_the_same_port() {
    let authority = Authority::new();
    let server = Setup::new().start();
    let mut plain = server.connect();
    answered(plain.get("/versions"));
    let pair = authority.issue();
    fs::write(server.path("cert.pem"), &pair.certificate).unwrap();
    fs::write(server.path("key.pem"), &pair.key).unwrap();
    server.configure_more(&FILES.replace("DIR", &server.directory.path().display().to_string()));
    assert!(server.reload().0);
    answered(connect(server.address(), &authority.client(None, &["http/1.1"])).get("/versions"));
    answered(plain.get("/versions"));
    server.configure_more("");
    assert!(server.reload().0);
    answered(server.get("/versions"));
}

#[test]
fn who_does_not_shake_hands_is_sent_away() {
    let server = with_tls(Setup::new(), &Authority::new().issue(), "[service]\ntls_handshake_timeout = 1").start();
    let mut silent = server.connect();
    assert!(silent.closed_within(Duration::from_secs(10)));
}

#[test]
fn a_start_with_wrong_files_says_which() {
    let authority = Authority::new();
    let setup = with_tls(Setup::new(), &authority.issue(), "");
    fs::write(setup.path("key.pem"), authority.issue().key).unwrap();
    let (status, log) = setup.fail();
    assert!(status == 78 && log.contains("key.pem") && log.contains("does not belong"), "{status}: {log}");
    let (status, log) = Setup::new().more("cert_file = /nowhere/cert.pem\nkey_file = /nowhere/key.pem").fail();
    assert!(status == 78 && log.contains("/nowhere/"), "{status}: {log}");
}
