//! glance-api: the API server of the OpenStack Image service.
//!
//! The rooms, from the top down; a room uses only those below it (`tests/architecture` checks that):
//!
//! * [`service`]: the life of one worker: listener, TLS, connections, readiness, reload, drain, watchdog, signals, logging.
//! * [`generator`]: what systemd is told about workers and socket, from the configuration's files.
//! * [`manage`]: the operator's tools: `glance-manage` and the companion commands.
//! * [`http`]: HTTP as Glance speaks it: the pipeline around a request, error documents, version negotiation.
//! * [`api`]: the routes: parse the request, ask the policy, call the domain, render the answer.
//! * [`policy`]: what callers may do: the oslo.policy rule language and Glance's default rules.
//! * [`task`]: work that goes on after its request has been answered: the tasks API, imports.
//! * [`metadef`]: the domain: metadata definitions, which describe properties to people and programs.
//! * [`cache`]: the image cache: images on a local disk, in front of their stores.
//! * [`image`]: the domain: images, their status machine, visibility, properties, quotas, data.
//! * [`notifications`]: what happens in the domain, told to whoever listens.
//! * [`ingest`]: taking data in: a stream becomes durable data in one or several stores.
//! * [`db`]: upstream's tables on SQLite, PostgreSQL and MySQL.
//! * [`store`]: where image data lies.
//! * [`inspect`]: what is really in an image.
//! * [`keys`]: the key manager, which has the keys of encrypted images.
//! * [`identity`]: who is asking: the tokens of a request and its context.
//! * [`keystone`]: Keystone's API as we use it, and the one HTTP client for requests to other services.
//! * [`schema`]: JSON Schema with the words of Python's jsonschema; values as Python writes and reads them.
//! * [`config`]: oslo.config files as typed options; read by all, depends on nothing.
//! * [`sys`]: what the operating system offers, `unsafe` calls among it.

// A connection's future holds the whole way of a request, down to the database's socket: its auto traits lie deep.
#![recursion_limit = "256"]

pub mod api;
mod cache;
pub mod config;
pub mod db;
pub mod generator;
mod http;
pub mod identity;
pub mod image;
mod ingest;
pub mod inspect;
mod keys;
mod keystone;
pub mod manage;
pub mod metadef;
mod notifications;
pub mod policy;
mod schema;
pub mod service;
pub mod store;
mod sys;
mod task;
