//! The worker itself, from outside: the real binary, real sockets, real signals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod audit;
#[path = "../common/certificates.rs"]
mod certificates;
mod data;
mod documents;
mod framing;
mod harness;
mod http2;
mod http2_client;
mod http2_load;
mod keystone;
mod limits;
mod listen;
mod manager;
mod odd_rows;
mod protections;
mod reload;
#[path = "../common/service_manager.rs"]
mod service_manager;
mod stop;
mod tls;
