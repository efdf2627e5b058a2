//! How cases are written.
//!
//! ```yaml
//! about: what the file is about
//! config:
//!   base: keystone             # two file stores and a real Keystone; or `open`: one store, nobody is asked who they are
//!   set: {DEFAULT.image_tag_quota: 3}
//!   policy: {get_images: "role:admin"}
//!   properties: {size_class: {type: integer}}   # schema-image.json
//!   protections: "[x]\ncreate = @\n…"            # who may do what with single properties
//!   elsewhere: [{POST: /v2/images, json: {}}]   # what another region, <elsewhere>, is sent first, whose Image service is upstream's
//!   web: {/raw: 1000}           # what a web server of the side's own, <web>, has: paths with so many bytes
//!   limits: {registered: {image_count_total: 3}, projects: {demo: {image_count_total: 5}}}   # kept by Keystone
//!   spaced: true                # the cases depend on what was made first: where times are whole seconds, each thing gets its own
//!   not_on: {mariadb: why}      # databases on which the file is left out
//! as: demo                     # who sends a request that does not say
//! cases:
//! - {POST: /v2/images, json: {name: a}, save: img}      # keeps `/id` of each answer as <img>
//! - {GET: /v2/images/<img>, as: [demo, anonymous]}      # one case for each
//! - {GET: "/v2/images?limit=<each>", each: [1, x]}      # one case for each
//! - {GET: "/v2/images?limit=<limit>&marker=<marker>", as: <who>,
//!    vary: {limit: ["1", x], marker: [<img>, none], who: [demo, anonymous]}}
//! ```
//!
//! `vary` gives names their values, the first of each being the one without a fault: the cases are those with one fault and with
//! two at a time. They tell which fault is seen first.
//!
//! The method is the key of the path; an odd one is given by `method` and `path`. A body is one of `json` (any value), `patch`
//! (a list of JSON-patch operations), `body` (text), `image` (a name of `common/images.rs`) and `fill` (so many bytes);
//! `chunked` sends it without a length. `type` sets the content type. `none` as content type, header or text of the body leaves
//! it out. `accept` lists values of that header, `none` among them; the default is `*/*`, as real clients send it. A header with a
//! list of values comes as often.
//!
//! Placeholders: `<each>`, saved names, `<project:NAME>`, `<user:NAME>`, `<token:USER>`, `<server>` and `<keystone>` (host and port),
//! `<long:N>` (N letters). `save` may also map names to JSON pointers.
//!
//! `until` repeats the request until what JSON pointers lead to in the answer is one of the values given for each: for what goes on in
//! the background. The end of an import shows in its image, whose `os_glance_import_task` goes; until then no case lists tasks or
//! writes (`running.rs` tells why, and sees to it). Of an import that fails upstream's task ends a moment later: then `/v2/tasks` has none
//! that is pending or processing.
//!
//! What is asked while something else is at work: a case with `let_go: /raw` lets the web server give the second half of `/raw`, which it
//! holds back until then; one with `held: /raw` is sent once the service has asked for it, and has begun to wait. Of a request with
//! a list of cases as `meanwhile` one half of the body is sent, then these cases, then the other half.
//!
//! `ours` marks a deliberate difference: its `why`, and the fields in which our answer is not upstream's, with our values:
//! `status` (with its words), `headers` (null for one that we do not send), `body` or `error` (the text in an error document) or, for
//! fields of a document, `json`: pointers with values. All else is compared with upstream's answer, unless it gives none. A field that upstream answers as
//! well is out of date and fails.
//! What `ours_on` gives for `postgresql` or `mariadb` is in force there in its place; `not_on` leaves a case out on a database, with
//! the reason.
//! `alike`: what we answer to all values of `each` is the same, but for these values in it.
//! `ignore` leaves out headers by name, `body` or `reason`, for what upstream leaves to chance.

mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

pub(crate) use step::{Part, Step, steps};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    pub(crate) config: Setup,
    #[serde(rename = "as", default = "demo")]
    pub(crate) who: String,
    pub(crate) cases: Vec<Case>,
}

fn demo() -> String {
    "demo".to_owned()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) base: Base,
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) policy: BTreeMap<String, String>,
    pub(crate) properties: Option<Value>,
    pub(crate) protections: Option<String>,
    pub(crate) limits: Option<Value>,
    #[serde(default)]
    pub(crate) elsewhere: Vec<Case>,
    #[serde(default)]
    pub(crate) web: BTreeMap<String, usize>,
    #[serde(default)]
    pub(crate) spaced: bool,
    #[serde(default)]
    pub(crate) not_on: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Base {
    Keystone,
    Open,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Many {
    One(String),
    Several(Vec<String>),
}

impl Many {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Several(several) => several.clone(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Save {
    Id(String),
    Pointers(BTreeMap<String, String>),
}

/// The fields in which our answer is not upstream's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Differs {
    pub(crate) why: String,
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Option<String>>,
    pub(crate) body: Option<String>,
    /// The text of an error document in HTML, in place of a whole body.
    pub(crate) error: Option<String>,
    /// JSON pointers into the body with their values; null is also what is absent. Of an object as a value, the fields that
    /// are given are looked at.
    #[serde(default)]
    pub(crate) json: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    name: Option<String>,
    #[serde(rename = "as")]
    who: Option<Many>,
    #[serde(rename = "GET")]
    get: Option<String>,
    #[serde(rename = "HEAD")]
    head: Option<String>,
    #[serde(rename = "POST")]
    post: Option<String>,
    #[serde(rename = "PUT")]
    put: Option<String>,
    #[serde(rename = "PATCH")]
    patch_path: Option<String>,
    #[serde(rename = "DELETE")]
    delete: Option<String>,
    #[serde(rename = "OPTIONS")]
    options: Option<String>,
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Many>,
    accept: Option<Many>,
    #[serde(default)]
    each: Vec<Value>,
    #[serde(default)]
    vary: BTreeMap<String, Vec<String>>,
    json: Option<Value>,
    patch: Option<Value>,
    body: Option<String>,
    image: Option<String>,
    fill: Option<usize>,
    #[serde(default)]
    chunked: bool,
    #[serde(rename = "type")]
    content_type: Option<String>,
    save: Option<Save>,
    /// The path that the web server holds back by then.
    pub(crate) held: Option<String>,
    /// The path that it gives from then on.
    pub(crate) let_go: Option<String>,
    #[serde(default)]
    meanwhile: Vec<Case>,
    #[serde(default)]
    pub(crate) alike: bool,
    #[serde(default)]
    pub(crate) until: BTreeMap<String, Vec<Value>>,
    pub(crate) ours: Option<Differs>,
    #[serde(default)]
    ours_on: BTreeMap<String, Differs>,
    #[serde(default)]
    not_on: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
}

/// The names of the files of cases, sorted.
pub(crate) fn file_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The text of a file of cases, and its meaning.
pub(crate) fn load(name: &str) -> (String, CaseFile) {
    read(&folder().join(format!("{name}.yaml")))
}

/// As [`load`], of any file.
pub(crate) fn read(path: &Path) -> (String, CaseFile) {
    let text = fs::read_to_string(path).unwrap();
    let file = serde_norway::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (text, file)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/compare/cases")
}

/// The paths that the cases let go of, which the web server so holds back at first.
pub(crate) fn held_back(cases: &[Case]) -> BTreeSet<String> {
    let within = cases.iter().flat_map(|case| held_back(&case.meanwhile));
    cases.iter().filter_map(|case| case.let_go.clone()).chain(within).collect()
}

impl Case {
    fn line(&self) -> (&str, &str) {
        let by_key = [
            ("GET", &self.get),
            ("HEAD", &self.head),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("PATCH", &self.patch_path),
            ("DELETE", &self.delete),
            ("OPTIONS", &self.options),
        ];
        let found = by_key.into_iter().find_map(|(method, path)| path.as_deref().map(|path| (method, path)));
        found
            .or_else(|| Some((self.method.as_deref()?, self.path.as_deref()?)))
            .expect("a case needs a method and a path")
    }

    /// Whether an answer is the one that is waited for.
    pub(crate) fn is_awaited(&self, body: &[u8]) -> bool {
        let document = serde_json::from_slice::<Value>(body).unwrap_or_default();
        self.until.iter().all(|(pointer, values)| values.contains(document.pointer(pointer).unwrap_or(&Value::Null)))
    }

    /// The names to keep of the answer, with the JSON pointers to their values.
    pub(crate) fn saves(&self) -> BTreeMap<String, String> {
        match &self.save {
            None => BTreeMap::new(),
            Some(Save::Id(name)) => BTreeMap::from([(name.clone(), "/id".to_owned())]),
            Some(Save::Pointers(pointers)) => pointers.clone(),
        }
    }
}
