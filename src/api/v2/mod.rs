//! Version 2 of the API: a folder for each resource, a file for each verb.

pub(super) mod actions;
pub(super) mod cache;
pub(super) mod images;
pub(super) mod info;
pub(super) mod locations;
pub(super) mod members;
pub(super) mod metadefs;
pub(super) mod schemas;
pub(super) mod stores;
pub(super) mod tags;
pub(super) mod tasks;
