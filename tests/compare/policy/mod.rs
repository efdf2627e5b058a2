//! Who may do what: each request of `requests.yaml` by each caller in each configuration.
//!
//! What upstream answers is kept in `answers.txt`, so that a run asks our service alone. With `GLANCE_COMPARE_WITH=upstream`
//! upstream is asked anew and must answer the same; `GLANCE_POLICY_TABLE=write` besides puts its answers into the file.
//! `GLANCE_POLICY_REQUESTS` asks only the requests whose titles contain that text.

mod table;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, thread};

use glance_api::policy::default_rules;

use self::table::Table;
use crate::run;

/// What all callers are told, by request.
type Answers = Vec<(String, Vec<String>)>;

/// What the file says below each request: the answers that there are, named by letters, and for each configuration the letters in the
/// order of callers.
type Blocks = BTreeMap<String, String>;

/// Rules that no request asks for by themselves: other rules refer to them.
const REFERRED_TO: [&str; 6] =
    ["default", "context_is_admin", "service_api", "metadef_default", "metadef_admin", "manage_image_cache"];

#[test]
fn policy_table() {
    let table = Table::load(&std::env::var("GLANCE_POLICY_REQUESTS").unwrap_or_default());
    let found: Vec<(String, Answers)> = thread::scope(|scope| {
        let asked: Vec<_> = table
            .configurations
            .iter()
            .map(|(name, set)| (name.clone(), scope.spawn(|| table.ask(set, run::with_upstream()))))
            .collect();
        asked.into_iter().map(|(name, asked)| (name, asked.join().unwrap())).collect()
    });
    let cells: usize = found.iter().flat_map(|(_, answers)| answers).map(|(_, told)| told.len()).sum();
    let found = blocks_of(&found);
    if run::with_upstream() && std::env::var("GLANCE_POLICY_TABLE").is_ok_and(|what| what == "write") {
        let mut all = read(&fs::read_to_string(path()).unwrap_or_default());
        all.extend(found.clone());
        fs::write(path(), written(&table.callers, &table.titles, &all)).unwrap();
    }
    let mut wanted = read(&fs::read_to_string(path()).unwrap());
    wanted.retain(|request, _| found.contains_key(request) || !table.titles.contains(request));
    let differences = differences(&wanted, &found);
    assert!(differences.is_empty(), "{} requests of {cells} cells differ:{}", differences.len(), differences.concat());
}

/// The table is large enough, and every rule of the policy has a request that it decides about.
#[test]
fn every_rule_has_a_request() {
    let table = Table::load("");
    let text = fs::read_to_string(path()).unwrap();
    let known = read(&text);
    assert!(table.titles.iter().all(|title| known.contains_key(title)) && known.len() == table.titles.len());
    assert!(table.titles.len() * table.callers.len() * table.configurations.len() >= 1500);
    let is_for = |title: &str, method: &str, path: &str| {
        let mut words = title.split([' ', ',', '?']);
        let (asked, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (target, path): (Vec<&str>, Vec<&str>) = (target.split('/').collect(), path.split('/').collect());
        let fits = |(one, other): (&&str, &&str)| one == other || other.starts_with('{');
        asked == method && target.len() == path.len() && target.iter().zip(&path).all(fits)
    };
    for rule in default_rules().filter(|rule| !REFERRED_TO.contains(&rule.name)) {
        let mut operations = rule.operations.iter();
        let is_asked = operations.any(|(method, path)| table.titles.iter().any(|title| is_for(title, method, path)));
        assert!(is_asked, "no request asks for {}", rule.name);
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/compare/policy/answers.txt")
}

fn read(text: &str) -> Blocks {
    let blocks = text.split("\n\n").filter_map(|block| block.split_once('\n'));
    blocks.map(|(request, rest)| (request.to_owned(), rest.trim_end().to_owned())).skip(1).collect()
}

fn written(callers: &[String], titles: &[String], blocks: &Blocks) -> String {
    let mut text = format!(
        "# What upstream answers to each request of requests.yaml; written by the test, see mod.rs. Below a request stand the\n\
         # answers that there are, then for each configuration whose answer each caller gets. The callers are:\n\
         # {}\n",
        callers.join(" ")
    );
    for title in titles {
        if let Some(block) = blocks.get(title) {
            let _ = writeln!(text, "\n{title}\n{block}");
        }
    }
    text
}

fn blocks_of(found: &[(String, Answers)]) -> Blocks {
    let requests = found[0].1.iter().enumerate();
    requests
        .map(|(index, (request, _))| {
            let rows: Vec<(&str, &[String])> =
                found.iter().map(|(name, answers)| (name.as_str(), answers[index].1.as_slice())).collect();
            (request.clone(), block(&rows))
        })
        .collect()
}

/// Answers and rows of one request. Configurations whose rows are the same share a line.
fn block(rows: &[(&str, &[String])]) -> String {
    let mut letters = BTreeMap::new();
    let mut lines = Vec::new();
    for answer in rows.iter().flat_map(|(_, row)| *row) {
        if !letters.contains_key(answer) {
            let letter = char::from(b'a' + u8::try_from(letters.len()).unwrap());
            letters.insert(answer, letter);
            lines.push(format!("  {letter} {answer}"));
        }
    }
    let mut by_row: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, row) in rows {
        let letters: String = row.iter().map(|answer| letters[answer]).collect();
        match by_row.iter_mut().find(|(known, _)| *known == letters) {
            Some((_, names)) => names.push(name),
            None => by_row.push((letters, vec![name])),
        }
    }
    for (letters, names) in by_row {
        let names = if names.len() == rows.len() { "all".to_owned() } else { names.join(", ") };
        lines.push(format!("  = {letters} {names}"));
    }
    lines.join("\n")
}

/// The requests whose blocks are not the same, with both.
fn differences(wanted: &Blocks, found: &Blocks) -> Vec<String> {
    let requests: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let of = |blocks: &Blocks, request: &String| blocks.get(request).map_or("  nothing", String::as_str).to_owned();
    requests
        .into_iter()
        .filter(|request| wanted.get(*request) != found.get(*request))
        .map(|request| format!("\n\n{request}\n wanted:\n{}\n found:\n{}", of(wanted, request), of(found, request)))
        .collect()
}

#[test]
fn a_table_tells_what_differs() {
    let (yes, no) = (vec!["200 x".to_owned(); 2], vec!["200 x".to_owned(), "403".to_owned()]);
    let blocks = |second: &[String]| {
        let configuration = |name: &str, told: &[String]| (name.to_owned(), vec![("GET /x".to_owned(), told.to_vec())]);
        blocks_of(&[configuration("one", &yes), configuration("two", second)])
    };
    let (same, other) = (blocks(&yes), blocks(&no));
    assert_eq!(same["GET /x"], "  a 200 x\n  = aa all");
    assert_eq!(other["GET /x"], "  a 200 x\n  b 403\n  = aa one\n  = ab two");
    let text = written(&["a".to_owned(), "b".to_owned()], &["GET /x".to_owned(), "GET /y".to_owned()], &other);
    assert_eq!(read(&text), other);
    assert!(differences(&other, &other).is_empty());
    assert_eq!(differences(&other, &same).len(), 1);
}
