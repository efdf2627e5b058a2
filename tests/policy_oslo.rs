//! Our policy against upstream's: random rules, callers and targets, answered by both.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use glance_api::config::Config;
use glance_api::identity::{Context, ServiceUser};
use glance_api::policy::{Enforcer, PolicyError, Rules, Target, default_rules};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const POLICIES: usize = 60;
const QUESTIONS: usize = 120;

/// The caller, the target (the caller itself when `None`) and the rule.
#[derive(Clone, Debug)]
struct Question {
    rule: String,
    target: Option<BTreeMap<String, Option<String>>>,
    caller: Caller,
}

#[derive(Clone, Debug)]
struct Caller {
    user: Option<String>,
    project: Option<String>,
    domain: Option<String>,
    system: bool,
    roles: Vec<String>,
    service_roles: Vec<String>,
    service_user: Option<String>,
    admin_project: bool,
}

#[derive(Clone, Debug)]
struct Batch {
    policy: BTreeMap<String, Value>,
    new_defaults: bool,
    default_rule: String,
    questions: Vec<Question>,
}

#[tokio::test]
async fn oslo_policy_gives_the_same_answers() {
    let mut runner = TestRunner::new(ProptestConfig { rng_seed: seed(), ..ProptestConfig::default() });
    let batches: Vec<Batch> = (0..POLICIES).map(|_| batch().new_tree(&mut runner).unwrap().current()).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut work = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        let path = dir.path().join(format!("{number}.json"));
        fs::write(&path, serde_json::to_string(&batch.policy).unwrap()).unwrap();
        work.push(batch.for_python(&path));
    }
    let theirs = ask_python(&Value::from(work));
    let mut counts = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let rules = batch.rules(dir.path(), &format!("{number}.json")).await;
        for (place, question) in batch.questions.iter().enumerate() {
            let expected = outcome(&theirs["answers"][number][place]);
            let ours = question.ask(&rules).await;
            *counts.entry(expected).or_insert(0) += 1;
            assert_eq!(
                ours, expected,
                "{question:?}\nof {:#?}\nupstream: {}",
                batch.policy, theirs["answers"][number][place]
            );
        }
    }
    // Else the generator makes nothing but nonsense.
    for outcome in ["allowed", "refused", "failed"] {
        assert!(counts.get(outcome).is_some_and(|count| *count > QUESTIONS), "too few of {outcome}: {counts:?}");
    }
}

#[test]
fn the_defaults_are_upstream_s() {
    let ours: Vec<_> = default_rules()
        .map(|rule| {
            json!({
                "name": rule.name,
                "check": rule.check,
                "scopes": rule.scopes,
                "operations": rule.operations,
                "legacy": rule.legacy.map(|legacy| [legacy.check, legacy.since]),
                "leaving": rule.leaving_since,
            })
        })
        .collect();
    let theirs = ask_python(&json!([]));
    let by_name =
        |rules: &[Value]| rules.iter().map(|r| (r["name"].to_string(), r.clone())).collect::<BTreeMap<_, _>>();
    let theirs = by_name(theirs["defaults"].as_array().unwrap());
    for (name, rule) in by_name(&ours) {
        assert_eq!(Some(&rule), theirs.get(&name));
    }
    assert_eq!(ours.len(), theirs.len());
}

/// A new one each time unless `GLANCE_TEST_SEED` repeats a run.
fn seed() -> proptest::test_runner::RngSeed {
    let seed = std::env::var("GLANCE_TEST_SEED").ok().map(|text| text.parse().expect("GLANCE_TEST_SEED is a number"));
    let seed =
        seed.unwrap_or_else(|| u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    println!("GLANCE_TEST_SEED={seed}");
    proptest::test_runner::RngSeed::Fixed(seed)
}

fn ask_python(work: &Value) -> Value {
    let python = std::env::var_os("GLANCE_TEST_OSLO_PYTHON").expect(
        "GLANCE_TEST_OSLO_PYTHON names the python of a virtual environment with upstream's packages: \
         python3 -m venv DIR && DIR/bin/pip install glance==33.0.0; then set it to DIR/bin/python",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy_oslo.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = work.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "python ended with {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn outcome(answer: &Value) -> &'static str {
    match answer {
        Value::Bool(true) => "allowed",
        Value::Bool(false) => "refused",
        _ => "failed",
    }
}

impl Batch {
    fn for_python(&self, path: &Path) -> Value {
        json!({
            "path": path,
            "options": {"enforce_new_defaults": self.new_defaults, "policy_default_rule": self.default_rule},
            "questions": self.questions.iter().map(Question::for_python).collect::<Vec<_>>(),
        })
    }

    async fn rules(&self, dir: &Path, file: &str) -> Arc<Rules> {
        let mut config = Config::default();
        config.oslo_policy.policy_file = file.to_owned();
        config.oslo_policy.enforce_new_defaults = self.new_defaults;
        config.oslo_policy.policy_default_rule = self.default_rule.clone();
        Enforcer::new(&config, &[dir.to_owned()]).unwrap().rules().await
    }
}

impl Question {
    fn for_python(&self) -> Value {
        let caller = &self.caller;
        json!({"rule": self.rule, "target": self.target, "context": {
            "user_id": caller.user,
            "project_id": caller.project,
            "domain_id": caller.domain,
            "system_scope": caller.system.then_some("all"),
            "roles": caller.roles,
            "service_roles": caller.service_roles,
            "service_user_id": caller.service_user,
            "is_admin_project": caller.admin_project,
            "is_admin": false,
            "request_id": "req-1",
        }})
    }

    async fn ask(&self, rules: &Rules) -> &'static str {
        let context = self.caller.context();
        let answer = match &self.target {
            Some(target) if default_rules().any(|default| default.name == self.rule) => {
                rules.check(&self.rule, &Fields(target), &context).await
            }
            Some(target) => rules.check_reference(&self.rule, &Fields(target), &context).await,
            None => rules.is_admin(&context).await,
        };
        match answer {
            Ok(true) => "allowed",
            Ok(false) => "refused",
            Err(PolicyError::Evaluation { .. }) => "failed",
            Err(error) => panic!("{error}"),
        }
    }
}

impl Caller {
    fn context(&self) -> Context {
        Context {
            request_id: "req-1".to_owned(),
            user_id: self.user.clone(),
            project_id: self.project.clone(),
            domain_id: self.domain.clone(),
            system_scope: self.system.then(|| "all".to_owned()),
            roles: self.roles.clone(),
            service_roles: self.service_roles.clone(),
            service: self
                .service_user
                .clone()
                .map(|user| Arc::new(ServiceUser { user_id: Some(user), ..ServiceUser::default() })),
            is_admin_project: self.admin_project,
            ..Context::default()
        }
    }
}

struct Fields<'a>(&'a BTreeMap<String, Option<String>>);

impl Target for Fields<'_> {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.0.get(key).map(|value| Cow::Borrowed(value.as_deref().unwrap_or("None")))
    }

    fn document(&self) -> serde_json::Map<String, Value> {
        self.0.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect()
    }
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    proptest::sample::select(words).prop_map(str::to_owned)
}

const RULES: &[&str] = &["r0", "r1", "r2", "r3", "r4", "r5", "context_is_admin", "get_image", "add_image", "default"];
const KEYS: &[&str] =
    &["project_id", "owner", "visibility", "member_id", "user.enabled", "user", "is_admin", "read_only"];
const VALUES: &[&str] = &["p1", "p2", "public", "shared", "True", "None", "admin", "member", "1", "1.5", "u1", ""];

/// One word of a rule: mostly sensible, at times odd.
fn word() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        6 => one_of(&["project_id", "user_id", "roles", "domain_id", "is_admin_project", "system_scope", "system"]),
        3 => one_of(&["service_user_id", "service_roles", "service_project_id", "is_admin", "tenant", "nothing.at.all"]),
        4 => one_of(&["'public'", "\"shared\"", "True", "None", "1", "1.50", "0x1", "-0", "'p''1'", r"'p\x31'", "u'p1'"]),
        1 => one_of(&["user_id.name", "roles.name", "a-b", "-a", "1-2", "class", "a..b", "", "'x", "1a", "_", "é", "007"]),
    ];
    let value = prop_oneof![
        5 => one_of(KEYS).prop_map(|key| format!("%({key})s")),
        4 => one_of(VALUES),
        1 => one_of(&["%(absent)s", "p%(one)s", "%(project_id)s%(owner)s", "100%%", "a:b", "(x"]),
        1 => one_of(&["%", "%(project_id)d", "%(project_id", "%(x)"]),
    ];
    prop_oneof![
        8 => (kind, value.clone()).prop_map(|(kind, value)| format!("{kind}:{value}")),
        6 => one_of(&["role:admin", "role:member", "role:MEMBER", "role:reader", "role:%(user)s", "role:%(absent)s", "role:"]),
        5 => one_of(RULES).prop_map(|rule| format!("rule:{rule}")),
        2 => one_of(&["@", "!", "rule:nowhere"]),
        1 => one_of(&["word", "'text'", "ROLE:admin", "Rule:r1", ":", ":x"]),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    word().prop_recursive(4, 24, 3, |inner| {
        let joined =
            |join: &'static str| proptest::collection::vec(inner.clone(), 2..4).prop_map(move |parts| parts.join(join));
        prop_oneof![
            3 => joined(" and "),
            3 => joined(" or "),
            1 => joined(" AND  "),
            2 => inner.clone().prop_map(|inner| format!("({inner})")),
            1 => inner.clone().prop_map(|inner| format!("( {inner} )")),
            2 => inner.clone().prop_map(|inner| format!("not {inner}")),
        ]
    })
}

/// A rule of a file: text, broken text, or the list form.
fn rule() -> impl Strategy<Value = Value> {
    prop_oneof![
        12 => expression().prop_map(Value::from),
        1 => one_of(&["", " ", "@ @", "(@", "@)", "()", "and", "@ or", "not", "@ not @", "\t@\n", "((@)", "not not @"])
            .prop_map(Value::from),
        1 => proptest::collection::vec(proptest::collection::vec(word(), 0..3), 0..3).prop_map(|list| json!(list)),
        1 => proptest::collection::vec(word(), 0..3).prop_map(|list| json!(list)),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    let maybe = |words| proptest::option::weighted(0.8, one_of(words));
    let roles = proptest::collection::vec(one_of(&["admin", "member", "reader", "service", "Member"]), 0..3);
    let rarely = proptest::bool::weighted(0.1);
    let domain = proptest::option::weighted(0.1, one_of(&["d1", ""]));
    (
        maybe(&["u1", "u2", ""]),
        maybe(&["p1", "p2"]),
        domain,
        rarely,
        roles.clone(),
        roles,
        maybe(&["u1"]),
        any::<bool>(),
    )
        .prop_map(|(user, project, domain, system, roles, service_roles, service_user, admin_project)| Caller {
            user,
            project,
            domain,
            system,
            roles,
            service_roles,
            service_user,
            admin_project,
        })
}

fn question() -> impl Strategy<Value = Question> {
    let fields = proptest::collection::btree_map(one_of(KEYS), proptest::option::weighted(0.9, one_of(VALUES)), 0..6);
    let rule = prop_oneof![6 => one_of(RULES), 1 => one_of(&["nowhere", "get_images", "cache_image", "deactivate"])];
    prop_oneof![
        9 => (rule, fields, caller()).prop_map(|(rule, target, caller)| Question { rule, target: Some(target), caller }),
        1 => caller().prop_map(|caller| Question { rule: "context_is_admin".to_owned(), target: None, caller }),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    (
        proptest::collection::btree_map(one_of(RULES), rule(), 0..9),
        any::<bool>(),
        one_of(&["default", "default", "r0", "absent"]),
        proptest::collection::vec(question(), QUESTIONS),
    )
        .prop_map(|(policy, new_defaults, default_rule, questions)| Batch {
            policy,
            new_defaults,
            default_rule,
            questions,
        })
}
