//! The requests, and what they are about.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Answers;
use super::told::told;
use crate::case::{Case, Setup, Step, steps};
use crate::run::{Side, side, token};

/// Who makes things and removes them.
const MAKER: &str = "admin";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    config: Setup,
    /// By name, the options over those of `config`.
    pub(super) configurations: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) callers: Vec<String>,
    things: BTreeMap<String, Thing>,
    requests: Vec<Case>,
    /// The file's.
    #[serde(skip)]
    text: String,
    /// Of all requests, in order.
    #[serde(skip)]
    pub(super) titles: Vec<String>,
    /// Requests whose titles do not have this are not asked.
    #[serde(skip)]
    wanted: String,
}

/// Something that requests are about, which `<name>` in their paths refers to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    /// Nothing for what the requests themselves make.
    #[serde(default)]
    make: Vec<Case>,
    remove: Case,
}

impl Table {
    /// `wanted`: what titles of requests contain that are asked.
    pub(super) fn load(wanted: &str) -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compare/policy/requests.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let table: Self = serde_norway::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
        let titles = steps(&table.requests, "").iter().map(Step::title).collect();
        Self { text, titles, wanted: wanted.to_owned(), ..table }
    }

    /// What a service with these options tells each caller.
    pub(super) fn ask(&self, set: &BTreeMap<String, Value>, upstream: bool) -> Answers {
        let mut setup = self.config.clone();
        setup.set.extend(set.clone());
        let folder = tempfile::Builder::new().prefix("glance-policy-").tempdir().unwrap();
        let mut side = side(&setup, &self.text, folder.path(), upstream);
        // Each Keystone gives its projects ids of its own.
        for (name, id) in side.values.iter().filter(|(name, _)| name.starts_with("project:")) {
            side.names.replace(id, name);
        }
        let mut cloud = Cloud { side, table: self };
        for name in self.things.keys() {
            cloud.make(name);
        }
        let steps = steps(&self.requests, "").into_iter().filter(|step| step.title().contains(&self.wanted));
        steps.map(|step| (step.title(), cloud.ask(&step))).collect()
    }
}

struct Cloud<'a> {
    side: Side,
    table: &'a Table,
}

impl Cloud<'_> {
    fn ask(&mut self, step: &Step) -> Vec<String> {
        self.table.callers.iter().map(|caller| self.ask_as(step, caller)).collect()
    }

    fn ask_as(&mut self, step: &Step, caller: &str) -> String {
        let answer = self.side.answer(step, token(self.table.config.base, caller));
        let answer = answer.unwrap_or_else(|e| panic!("{} as {caller}: {e}", step.title()));
        let text = told(&answer, &self.side.names);
        if !step.title().starts_with("GET ") && !(400..500).contains(&answer.status) {
            for name in step.case.saves().keys() {
                self.side.names.forget(name);
                let missing = self.side.save(&step.case, &answer);
                assert_eq!(missing, None, "{} as {caller}", step.title());
                self.remove(name);
            }
            for name in self.table.things.keys().filter(|name| step.title().contains(&format!("<{name}>"))) {
                self.remove(name);
                self.make(name);
            }
        }
        text
    }

    fn make(&mut self, name: &str) {
        self.side.names.forget(name);
        for step in steps(&self.table.things[name].make, MAKER) {
            let answer = self.side.answer(&step, token(self.table.config.base, MAKER)).unwrap();
            assert!(answer.status < 300, "{name}: {} {}", answer.status, answer.text());
            assert_eq!(self.side.save(&step.case, &answer), None, "{name}");
        }
    }

    /// It may be gone already.
    fn remove(&mut self, name: &str) {
        for step in steps(std::slice::from_ref(&self.table.things[name].remove), MAKER) {
            let _ = self.side.answer(&step, token(self.table.config.base, MAKER)).unwrap();
        }
    }
}
