//! Version 2 of the API: a folder for each resource, a file for each verb.

pub(super) mod images;
