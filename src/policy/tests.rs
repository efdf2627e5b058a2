//! Rules as requests meet them.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::*;
use crate::config::Config;
use crate::identity::Context;

/// A target of literal pairs.
pub(super) struct Pairs(pub(super) &'static [(&'static str, &'static str)]);

impl Target for Pairs {
    fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn document(&self) -> Map<String, Value> {
        self.0.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect()
    }
}

const MINE: Pairs = Pairs(&[("project_id", "p1"), ("owner", "p1"), ("visibility", "private"), ("member_id", "None")]);

fn caller(roles: &[&str]) -> Context {
    Context {
        user_id: Some("u1".to_owned()),
        project_id: Some("p1".to_owned()),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        ..Context::default()
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    config: Config,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), config: Config::default() }
    }

    fn with(policy: &str) -> Self {
        let fixture = Self::new();
        fixture.write("policy.yaml", policy);
        fixture
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn enforcer(&self) -> Result<Enforcer, PolicyError> {
        Enforcer::new(&self.config, &[self.path().to_owned()])
    }

    async fn rules(&self) -> Arc<Rules> {
        self.enforcer().unwrap().rules().await
    }
}

/// `true`, `false` or what went wrong.
async fn ask(rules: &Rules, rule: &str, context: &Context) -> Result<bool, String> {
    let answer = match default_rules().any(|default| default.name == rule) {
        true => rules.check(rule, &MINE, context).await,
        false => rules.check_reference(rule, &MINE, context).await,
    };
    answer.map_err(|error| error.to_string())
}

#[tokio::test]
async fn defaults_are_in_force_without_a_file() {
    let rules = Fixture::new().rules().await;
    let (reader, member, admin) = (caller(&["reader"]), caller(&["member", "reader"]), caller(&["admin"]));
    for (rule, target, expected) in [
        ("get_images", &MINE, [true, true, true]),
        ("download_image", &MINE, [false, true, true]),
        ("add_image", &MINE, [false, true, true]),
        ("publicize_image", &MINE, [false, false, true]),
        ("get_image", &Pairs(&[("project_id", "p2"), ("visibility", "private")]), [false, false, true]),
        ("get_image", &Pairs(&[("project_id", "p2"), ("visibility", "shared")]), [true, true, true]),
        ("get_image", &Pairs(&[("member_id", "p1")]), [true, true, true]),
        ("service_api", &MINE, [false, false, true]),
        ("default", &MINE, [true, true, true]),
    ] {
        for (context, expected) in [&reader, &member, &admin].into_iter().zip(expected) {
            assert_eq!(rules.check(rule, target, context).await.unwrap(), expected, "{rule} {:?}", context.roles);
        }
    }
    let unknown = rules.check("get_nothing", &MINE, &admin).await;
    assert!(matches!(unknown, Err(PolicyError::Unregistered { .. })));
}

#[tokio::test]
async fn scope_is_enforced_before_the_rule() {
    let rules = Fixture::with("get_images: '@'\nown: '@'").rules().await;
    let system = Context { system_scope: Some("all".to_owned()), ..caller(&["admin"]) };
    let domain = Context { domain_id: Some("d1".to_owned()), ..caller(&["admin"]) };
    for context in [&system, &domain] {
        assert!(!rules.check("get_images", &MINE, context).await.unwrap());
        assert!(rules.check_reference("own", &MINE, context).await.unwrap());
        assert!(rules.is_admin(context).await.unwrap());
    }
    assert!(rules.check("get_images", &MINE, &caller(&[])).await.unwrap());
}

#[tokio::test]
async fn legacy_checks_count_only_when_asked_for() {
    let mut fixture = Fixture::new();
    let nobody = caller(&[]);
    assert!(!fixture.rules().await.check("add_image", &MINE, &nobody).await.unwrap());
    fixture.config.oslo_policy.enforce_new_defaults = false;
    assert!(fixture.rules().await.check("add_image", &MINE, &nobody).await.unwrap());
    // An override is not widened.
    fixture.write("policy.yaml", "add_image: role:admin");
    assert!(!fixture.rules().await.check("add_image", &MINE, &nobody).await.unwrap());
}

#[tokio::test]
async fn credentials_are_compared() {
    let policy = r#"
        literal: "'private':%(visibility)s"
        wrong_literal: "'public':%(visibility)s"
        user: user_id:u1
        admin_project: is_admin_project:True
        no_domain: domain_id:None
        any_role: roles:member
        service: service_roles:service
        none: member_id:x
        missing: project_id:%(nothing)s
        is_admin: is_admin:True
        case: role:MEMBER
        role_of_target: role:%(visibility)s
        not_missing: not project_id:%(nothing)s
        undefined: rule:nowhere
    "#;
    let rules = Fixture::with(policy).rules().await;
    let context = Context { service_roles: vec!["service".to_owned()], ..caller(&["member", "private"]) };
    for (rule, expected) in [
        ("literal", true),
        ("wrong_literal", false),
        ("user", true),
        ("admin_project", true),
        ("no_domain", true),
        ("any_role", true),
        ("service", true),
        ("none", false),
        ("missing", false),
        ("is_admin", false),
        ("case", true),
        ("role_of_target", true),
        ("not_missing", true),
        // The default rule stands in, and that allows everyone.
        ("undefined", true),
        ("made_up_nowhere", true),
    ] {
        assert_eq!(ask(&rules, rule, &context).await, Ok(expected), "{rule}");
    }
}

#[tokio::test]
async fn the_default_rule_can_be_another_one() {
    let mut fixture = Fixture::with("mine: '!'\nby_reference: rule:nowhere");
    fixture.config.oslo_policy.policy_default_rule = "mine".to_owned();
    assert_eq!(ask(&*fixture.rules().await, "by_reference", &caller(&[])).await, Ok(false));
    fixture.config.oslo_policy.policy_default_rule = "absent".to_owned();
    let rules = fixture.rules().await;
    assert_eq!(ask(&rules, "by_reference", &caller(&[])).await, Ok(false));
    assert_eq!(ask(&rules, "nowhere", &caller(&[])).await, Ok(false));
}

#[tokio::test]
async fn what_cannot_be_evaluated_never_allows() {
    let policy = r#"
        circle: role:admin or rule:circle
        not_circle: not rule:circle
        within: not user_id.name:x
        format: not user_id:%(owner)d
        subject: not class:x
        text: not ( not role:x
        short_cut: "@ or class:x"
    "#;
    let rules = Fixture::with(policy).rules().await;
    for rule in ["circle", "not_circle", "within", "format", "subject"] {
        assert!(ask(&rules, rule, &caller(&[])).await.is_err(), "{rule}");
    }
    assert_eq!(ask(&rules, "text", &caller(&[])).await, Ok(false));
    assert_eq!(ask(&rules, "circle", &caller(&["admin"])).await, Ok(true));
    assert_eq!(ask(&rules, "short_cut", &caller(&[])).await, Ok(true));
}

#[tokio::test]
async fn a_changed_file_is_in_force_for_the_next_request() {
    let fixture = Fixture::with("x: '!'");
    let enforcer = fixture.enforcer().unwrap();
    for round in 0..50 {
        let (text, expected) = if round % 2 == 0 { ("x: '@'", true) } else { ("x: '!'", false) };
        fixture.write("policy.yaml", text);
        assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(expected), "round {round}");
    }
    fixture.write("other", "x: '!'");
    fs::rename(fixture.path().join("other"), fixture.path().join("policy.yaml")).unwrap();
    assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(false));
}

#[tokio::test]
async fn an_unchanged_file_is_not_read_again() {
    let fixture = Fixture::with("x: '!'");
    let enforcer = fixture.enforcer().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(80)).await;
    let first = enforcer.rules().await;
    assert!(Arc::ptr_eq(&enforcer.rules().await, &enforcer.rules().await));
    drop(first);
}

#[tokio::test]
async fn a_changed_file_that_cannot_be_used_keeps_the_former_rules() {
    let fixture = Fixture::with("x: '!'");
    let enforcer = fixture.enforcer().unwrap();
    for broken in ["x: [", "x: 5", "- x", "", "x: !"] {
        fixture.write("policy.yaml", broken);
        assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(false), "{broken:?}");
    }
    fs::remove_file(fixture.path().join("policy.yaml")).unwrap();
    assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(false));
    fixture.write("policy.yaml", "x: '@'");
    assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(true));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_prevents_the_start() {
    let message = Fixture::with("get_image: 5").enforcer().unwrap_err().to_string();
    assert!(message.contains("policy.yaml: rule get_image: a number where"), "{message}");
    let message = Fixture::with("get_image: !").enforcer().unwrap_err().to_string();
    assert!(message.contains("put the check in quotes"), "{message}");
    let fixture = Fixture::new();
    fixture.write("policy.d", "");
    let message = fixture.enforcer().unwrap_err().to_string();
    assert!(message.contains("policy.d is no directory"), "{message}");
}

#[tokio::test]
async fn directories_come_after_the_file_in_order_of_names() {
    let fixture = Fixture::with("a: '!'\nb: '!'");
    let enforcer = fixture.enforcer().unwrap();
    fs::create_dir(fixture.path().join("policy.d")).unwrap();
    fixture.write("policy.d/20.yaml", "a: '@'");
    fixture.write("policy.d/10.json", r#"{"a": "!", "b": "@"}"#);
    fixture.write("policy.d/.30.yaml.swp", "a: [");
    let rules = enforcer.rules().await;
    assert_eq!(ask(&rules, "a", &caller(&[])).await, Ok(true));
    assert_eq!(ask(&rules, "b", &caller(&[])).await, Ok(true));
    fixture.write("policy.d/10.json", r#"{"b": "!"}"#);
    assert_eq!(ask(&*enforcer.rules().await, "b", &caller(&[])).await, Ok(false));
    fs::remove_file(fixture.path().join("policy.d/20.yaml")).unwrap();
    assert_eq!(ask(&*enforcer.rules().await, "a", &caller(&[])).await, Ok(false));
}

#[tokio::test]
async fn the_first_directory_with_the_file_wins() {
    let (first, second) = (Fixture::new(), Fixture::with("x: '!'"));
    let dirs = [first.path().to_owned(), second.path().to_owned()];
    let enforcer = Enforcer::new(&first.config, &dirs).unwrap();
    assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(false));
    first.write("policy.yaml", "x: '@'");
    let enforcer = Enforcer::new(&first.config, &dirs).unwrap();
    assert_eq!(ask(&*enforcer.rules().await, "x", &caller(&[])).await, Ok(true));
}

mod changes;

mod remote {
    use bytes::Bytes;
    use http::Request;
    use serde_json::json;

    use super::*;
    use crate::keystone::fake::{Answer, Server, plain};

    async fn server(answer: impl Fn(&Request<Bytes>) -> Answer + Send + Sync + 'static) -> (Server, Fixture) {
        let server = Server::start(answer).await;
        let url = server.url("/check/%(project_id)s");
        let fixture = Fixture::with(&format!(
            "remote: {url}\nagain: not rule:remote or {url}\nspared: '@ or {url}'\nlacking: not {url}/%(absent)s"
        ));
        (server, fixture)
    }

    #[tokio::test]
    async fn a_server_decides() {
        let (server, fixture) = server(|_| Answer::Now(plain(500, "\"True\""))).await;
        let rules = fixture.rules().await;
        assert_eq!(ask(&rules, "remote", &caller(&["member"])).await, Ok(true));
        assert_eq!(ask(&rules, "spared", &caller(&[])).await, Ok(true));
        let seen = server.seen.lock().unwrap();
        let [(method, path, body)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/check/p1"));
        let fields: std::collections::HashMap<_, _> =
            url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        assert_eq!(fields["rule"], "\"remote\"");
        let json = |name: &str| serde_json::from_str::<Value>(&fields[name]).unwrap();
        assert_eq!(json("target")["visibility"], "private");
        assert_eq!(json("credentials")["roles"], json!(["member"]));
        assert_eq!(json("credentials")["project_id"], "p1");
    }

    #[tokio::test]
    async fn anything_but_true_refuses() {
        for answer in ["False", "true", "", "\"True\"x", "True "] {
            let (_server, fixture) = server(move |_| Answer::Now(plain(200, answer))).await;
            assert_eq!(ask(&*fixture.rules().await, "remote", &caller(&[])).await, Ok(false), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn each_check_is_asked_once_for_a_question() {
        let (server, fixture) = server(|_| Answer::Now(plain(200, "True"))).await;
        assert_eq!(ask(&*fixture.rules().await, "again", &caller(&[])).await, Ok(true));
        assert_eq!(server.count("POST", "/check/p1"), 2);
    }

    #[tokio::test]
    async fn json_is_sent_where_it_is_wanted() {
        let (server, mut fixture) = server(|_| Answer::Now(plain(200, "True"))).await;
        fixture.config.oslo_policy.remote_content_type = "application/json".to_owned();
        let system = Context { system_scope: Some("all".to_owned()), ..caller(&[]) };
        assert_eq!(ask(&*fixture.rules().await, "remote", &system).await, Ok(true));
        let body: Value = serde_json::from_str(&server.seen.lock().unwrap()[0].2).unwrap();
        assert_eq!((&body["rule"], &body["credentials"]["system"]), (&json!("remote"), &json!("all")));
    }

    #[tokio::test]
    async fn a_server_that_fails_never_allows() {
        let (_slow, mut fixture) =
            server(|_| Answer::Late(std::time::Duration::from_secs(30), plain(200, "True"))).await;
        fixture.config.oslo_policy.remote_timeout = 0.2;
        let rules = fixture.rules().await;
        for rule in ["remote", "again", "lacking"] {
            let error = ask(&rules, rule, &caller(&[])).await.unwrap_err();
            assert!(error.starts_with(&format!("policy {rule}")), "{error}");
            assert!(!error.contains("/check/"), "{error}");
        }
        let (_huge, fixture) = server(|_| Answer::Now(plain(200, vec![b'"'; 1 << 20]))).await;
        assert!(ask(&*fixture.rules().await, "remote", &caller(&[])).await.unwrap_err().contains("more than 65536"));
    }
}
