//! Runs a file of cases against both sides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::case::{self, Base, CaseFile, Part, Setup};
use crate::common::http::connect;
use crate::common::peers::{Keystone, Upstream};
use crate::common::shared_database::{self, is_server, wait_for_another_time, with_database};
use crate::common::{Answer, Body, Client, Conf, Request, Server, free_port, pause};
use crate::difference::{differences, out_of_date, without_each};
use crate::names::Names;
use crate::running::Running;
use crate::web::Web;

/// Names of users in the cases, and how Keystone knows them.
const USERS: [(&str, &str); 17] = [
    ("admin", "admin@admin"),
    ("demo", "demo@demo"),
    ("demo_admin", "demo_admin@demo"),
    ("reader", "demo_reader@demo"),
    ("manager", "demo_manager@demo"),
    ("norole", "demo_norole@demo"),
    ("alt", "alt_demo@alt_demo"),
    ("alt_manager", "alt_manager@alt_demo"),
    ("alt_reader", "alt_reader@alt_demo"),
    ("nova", "nova@service"),
    ("glance", "glance@service"),
    ("system", "admin@system"),
    ("system_reader", "glance@system"),
    ("domain_admin", "admin@domain"),
    ("domain_member", "demo@domain"),
    ("unscoped", "demo@unscoped"),
    ("revoked", "revoked:alt_demo@alt_demo"),
];

/// How long an answer is waited for that the background must bring about.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of the two services, with what it answered so far.
pub(crate) struct Side {
    pub(crate) client: Client,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) names: Names,
    /// What upstream's service writes.
    pub(crate) log: Option<PathBuf>,
    // Ends the service when dropped.
    pub(crate) _service: Box<dyn std::any::Any>,
}

#[derive(Default)]
struct Outcome {
    /// The cases that differ, and how.
    report: String,
    /// All cases with upstream's answers, for who writes cases.
    answers: String,
    same: usize,
    different: usize,
}

pub(crate) fn file(name: &str) {
    let (text, file) = case::load(name);
    if file.config.not_on.contains_key(shared_database::name()) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("glance-compare-").tempdir().unwrap();
    let webs = [(); 2].map(|()| Web::start(&file.config.web, case::held_back(&file.cases)));
    let region = elsewhere(&file, &folder.path().join("elsewhere"));
    let mut theirs = side(&file.config, &text, &folder.path().join("upstream"), true);
    let with_upstream = with_upstream();
    let mut ours = side(&file.config, &text, &folder.path().join("ours"), with_upstream);

    if let Some((name, _)) = &region {
        for side in [&mut theirs, &mut ours] {
            side.values.insert("elsewhere".to_owned(), name.clone());
        }
    }

    for (side, web) in [&mut theirs, &mut ours].into_iter().zip(webs.iter().flatten()) {
        side.names.replace(&web.address, "web");
        side.values.insert("web".to_owned(), web.address.clone());
    }

    let result = compare(&file, (&mut theirs, &mut ours), &webs, with_upstream);
    let summary = format!("{name}: {} cases the same, {} different", result.same, result.different);
    // Upstream may have failed by chance; its log goes with the service.
    let log =
        theirs.log.as_ref().filter(|_| result.different > 0).and_then(|log| fs::read(log).ok()).unwrap_or_default();
    let errors = last_errors(&String::from_utf8_lossy(&log));
    let Outcome { report, answers, .. } = &result;
    keep_report(name, &format!("{summary}\n{report}\n\nwhat upstream answered:\n{answers}"));
    // A server that is dropped by a failing test prints the end of its log; what differs would drown in that.
    drop((theirs, ours));
    assert_eq!(result.different, 0, "{summary}\n{report}\n\nthe last errors in upstream's log:\n{errors}");
}

/// The last forty lines of upstream's log that tell of errors, traces included, without the time and the process of each.
fn last_errors(log: &str) -> String {
    let mut lines: Vec<&str> =
        log.lines().filter_map(|line| line.split_once(" ERROR ").map(|(_, told)| told)).collect();
    lines.drain(..lines.len().saturating_sub(40));
    lines.join("\n")
}

/// Whether a second upstream takes our place.
pub(crate) fn with_upstream() -> bool {
    std::env::var("GLANCE_COMPARE_WITH").is_ok_and(|with| with == "upstream")
}

fn compare(
    file: &CaseFile,
    (theirs, ours): (&mut Side, &mut Side),
    webs: &[Option<Web>],
    with_upstream: bool,
) -> Outcome {
    let Outcome { mut report, mut answers, mut same, mut different } = Outcome::default();
    let (mut alike, mut running) = (Alike::default(), Running::default());
    let mut halves: Option<[std::io::Result<Half>; 2]> = None;
    for step in case::steps(&file.cases, &file.who) {
        let token = token(file.config.base, &step.who);
        let asked = step.request(&theirs.values, token);
        let mut found = hold_and_let_go(&step.case, webs, &mut running);
        found.extend(running.objection(&asked));
        let [their_answer, our_answer] = match step.part {
            Part::Whole => [&mut *theirs, &mut *ours].map(|side| side.answer(&step, token)),
            Part::Rest => halves.take().unwrap().map(Half::end),
            Part::Beginning => {
                halves = Some([&*theirs, &*ours].map(|side| side.begin(&step, token)));
                continue;
            }
        };
        if file.config.spaced && step.makes() {
            wait_for_another_time();
        }
        if let Ok(answer) = &their_answer {
            found.extend(running.learn(&asked, answer));
        }
        for (side, answer, is_meant) in
            [("upstream's", &their_answer, step.case.ours.is_none() && !is_server()), ("our", &our_answer, true)]
        {
            if let Ok(answer) = answer
                && is_meant
                && !step.case.is_awaited(&answer.body)
            {
                found.push(format!("until\n      {side} answer never became it: {}", excerpt(answer)));
            }
        }
        // What upstream does not do right is told of SQLite; on a server it may.
        if let (false, Some(deliberate), Ok(their)) = (is_server(), &step.case.ours, &their_answer) {
            found.extend(out_of_date(deliberate, (their, &theirs.names)));
        }
        match (&their_answer, &our_answer) {
            (Ok(_), Ok(_)) if with_upstream && step.case.ours.is_some() => {}
            // Servers refuse some of upstream's statements that SQLite takes, such as those that compare a number with a text. Our
            // answer is compared on SQLite.
            (Ok(their), Ok(our)) if is_server() && their.status == 500 && !is_told(&step.case) => {
                if our.status >= 500 {
                    found.push(format!("status\n      upstream: 500\n      ours:     {}", our.status));
                }
            }
            (Ok(their), Ok(our)) => found.extend(differences(&step.case, (their, &theirs.names), (our, &ours.names))),
            (Err(_), Ok(our)) if step.case.ours.is_some() => {
                found.extend(differences(&step.case, (our, &ours.names), (our, &ours.names)));
            }
            (their, our) => {
                let text = |answer: &std::io::Result<Answer>| match answer {
                    Ok(answer) => format!("{} {}", answer.status, answer.text()),
                    Err(e) => format!("no answer: {e}"),
                };
                if text(their) != text(our) {
                    found.push(format!("answer\n      upstream: {}\n      ours:     {}", text(their), text(our)));
                }
            }
        }
        if step.case.alike && !with_upstream {
            found.extend(alike.see(&our_answer, &step.each()));
        }
        if let Ok(answer) = &their_answer {
            let _ = writeln!(answers, "  {}\n    {} {}", step.label, answer.status, excerpt(answer));
        }
        for (side, answer) in [(&mut *theirs, their_answer), (&mut *ours, our_answer)] {
            found.extend(answer.ok().and_then(|answer| side.save(&step.case, &answer)));
        }
        if found.is_empty() {
            same += 1;
        } else {
            different += 1;
            let _ = writeln!(report, "\n  {}", step.label);
            for one in found {
                let _ = writeln!(report, "    {one}");
            }
        }
    }
    Outcome { report, answers, same, different }
}

/// Waits for what the web servers are to hold back, and lets go of the rest; tells what is not asked for.
fn hold_and_let_go(case: &case::Case, webs: &[Option<Web>], running: &mut Running) -> Vec<String> {
    let mut missed = Vec::new();
    for (web, side) in webs.iter().zip(["upstream", "our service"]) {
        let web = web.as_ref().filter(|_| case.held.is_some() || case.let_go.is_some());
        if let (Some(path), Some(web)) = (&case.held, web)
            && !web.has_asked(path)
        {
            missed.push(format!("held\n      {side} never asked for {path}"));
        }
        if let (Some(path), Some(web)) = (&case.let_go, web) {
            web.let_go(path);
        }
    }
    if case.held.is_some() {
        running.rest();
    }
    if case.let_go.is_some() {
        running.go_on();
    }
    missed
}

/// A request of whose body one half is sent, and the other half.
struct Half {
    connection: TcpStream,
    rest: Vec<u8>,
    method: String,
}

impl Half {
    fn begin(request: &Request, address: SocketAddr) -> std::io::Result<Self> {
        let Body::Sized(body) = &request.body else { panic!("half of no body is sent: {}", request.target) };
        let (first, rest) = body.split_at(body.len() / 2);
        let mut connection = connect(address)?;
        connection.write_all(&request.head(&address.to_string()))?;
        connection.write_all(first)?;
        Ok(Self { connection, rest: rest.to_vec(), method: request.method.clone() })
    }

    fn end(begun: std::io::Result<Self>) -> std::io::Result<Answer> {
        let mut half = begun?;
        // A server may have answered and closed; its answer counts.
        let written = half.connection.write_all(&half.rest);
        let answer = Answer::read(&mut BufReader::new(half.connection), &half.method);
        answer.map_err(|e| written.err().unwrap_or(e))
    }
}

/// What we answered to the first value of `each`, where the answers to all are to be alike.
#[derive(Default)]
struct Alike {
    first: String,
}

impl Alike {
    /// How an answer is not like the first one, in words. One that does not come has its words, too.
    fn see(&mut self, answer: &std::io::Result<Answer>, (each, is_first): &(String, bool)) -> Option<String> {
        let shown = match answer {
            Ok(answer) => without_each(answer, each),
            Err(error) => format!("no answer: {error}"),
        };
        if *is_first {
            self.first = shown;
            return None;
        }
        (shown != self.first).then(|| format!("alike\n    the first: {}\n    this one: {shown}", self.first))
    }
}

/// Whether the case says which status ours is to be.
fn is_told(case: &case::Case) -> bool {
    case.ours.as_ref().is_some_and(|ours| ours.status.is_some())
}

fn excerpt(answer: &Answer) -> String {
    let line = answer.text().split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(1500).collect()
}

impl Side {
    pub(crate) fn answer(&mut self, step: &case::Step, token: Option<&str>) -> std::io::Result<Answer> {
        let request = step.request(&self.values, token);
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.try_send(&request)?;
            if step.case.is_awaited(&answer.body) || Instant::now() > end {
                return Ok(answer);
            }
            pause(Duration::from_millis(50));
        }
    }

    fn begin(&self, step: &case::Step, token: Option<&str>) -> std::io::Result<Half> {
        Half::begin(&step.request(&self.values, token), self.client.address())
    }

    /// Keeps what the case wants of the answer; tells when it is not there.
    pub(crate) fn save(&mut self, case: &case::Case, answer: &Answer) -> Option<String> {
        for (name, pointer) in case.saves() {
            let document = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
            let Some(value) = document.pointer(&pointer).and_then(serde_json::Value::as_str) else {
                return Some(format!("save\n      {pointer} is not in {} {}", answer.status, answer.text()));
            };
            self.names.replace(value, &name);
            self.values.insert(name, value.to_owned());
        }
        None
    }
}

/// Another region with upstream's Image service, if the file has one: its name, and what ends it when dropped.
fn elsewhere(file: &CaseFile, dir: &Path) -> Option<(String, Upstream)> {
    if file.config.elsewhere.is_empty() {
        return None;
    }
    let (keystone, port) = (Keystone::shared(), free_port());
    let service = Upstream::start(Conf::new(dir, port).two_stores().keystone(keystone));
    for step in case::steps(&file.config.elsewhere, &file.who) {
        let answer = service.client().send(&step.request(&BTreeMap::new(), Some(&tokens()[&step.who])));
        assert!(answer.status < 300, "{}: {} {}", step.label, answer.status, answer.text());
    }
    // Keystone's shared instance may know regions of other runs.
    let name = format!("Elsewhere{port}");
    keystone.add_region(&name, &format!("http://127.0.0.1:{port}"));
    Some((name, service))
}

/// A service of its own on fresh state. `text`: what names the UUIDs that are no chance.
pub(crate) fn side(setup: &Setup, text: &str, dir: &Path, upstream: bool) -> Side {
    let (mut conf, database) = with_database(Conf::new(dir, free_port()));
    let mut values = BTreeMap::from([("server".to_owned(), format!("127.0.0.1:{}", conf.port))]);
    if setup.base == Base::Keystone {
        let keystone = Keystone::shared();
        conf = conf.two_stores().keystone(keystone);
        values.extend(known_values(keystone));
    }
    if let Some(limits) = &setup.limits {
        let keystone = Keystone::shared();
        keystone.limits(limits);
        conf = conf.limits(keystone);
    }
    for (name, value) in &setup.set {
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        conf = conf.set(name, plain.replace("<dir>", &dir.display().to_string()));
    }
    if !setup.policy.is_empty() {
        conf = conf.policy(&setup.policy);
    }
    if let Some(properties) = &setup.properties {
        conf = conf.properties(properties);
    }
    if let Some(protections) = &setup.protections {
        conf = conf.protections(protections);
    }
    let mut names = Names::default();
    if database.is_some() {
        names = names.unordered();
    }
    names.keep_uuids_of(text);
    names.replace(&format!("127.0.0.1:{}", conf.port), "server");
    names.replace(&dir.display().to_string(), "dir");
    if upstream {
        let service = Upstream::start(conf);
        let log = Some(service.log.clone());
        Side { client: service.client(), values, names, log, _service: Box::new((service, database)) }
    } else {
        let service = Server::start(conf);
        Side { client: service.client(), values, names, log: None, _service: Box::new((service, database)) }
    }
}

/// What cases may name of the cloud.
pub(crate) fn known_values(keystone: &Keystone) -> BTreeMap<String, String> {
    let address = keystone.url.trim_start_matches("http://").trim_end_matches("/v3").to_owned();
    let mut values = BTreeMap::from([("keystone".to_owned(), address)]);
    values.extend(keystone.projects.iter().map(|(name, id)| (format!("project:{name}"), id.clone())));
    values.extend(keystone.users.iter().map(|(name, id)| (format!("user:{name}"), id.clone())));
    values.extend(tokens().iter().map(|(name, token)| (format!("token:{name}"), token.clone())));
    values
}

/// What the user sends as token to a service of this kind.
pub(crate) fn token(base: Base, who: &str) -> Option<&'static str> {
    if base == Base::Open { None } else { token_of(who) }
}

/// What one of the users sends as token.
pub(crate) fn token_of(who: &str) -> Option<&'static str> {
    match who {
        "anonymous" => None,
        "garbage" => Some("gAAAAABgarbage"),
        who => Some(tokens().get(who).unwrap_or_else(|| panic!("nobody is called {who}")).as_str()),
    }
}

/// A token for each user of the cases.
fn tokens() -> &'static BTreeMap<String, String> {
    static TOKENS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let who: Vec<&str> = USERS.iter().map(|(_, who)| *who).collect();
        let found = Keystone::shared().tokens(&who);
        USERS.iter().map(|(name, who)| ((*name).to_owned(), found[*who].clone())).collect()
    })
}

/// Leaves the result beside the build, for `tests/run` and for reading at leisure.
fn keep_report(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.txt")), text).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_of_a_log_are_told() {
        let line = |level: &str, text: &str| format!("2026-11-29 01:00:00.123 7 {level} glance.async_ [-] {text}\n");
        let many: String = (0..50).map(|number| line("ERROR", &number.to_string()) + &line("DEBUG", "x")).collect();
        let told = last_errors(&many);
        let expected: Vec<String> = (10..50).map(|number| format!("glance.async_ [-] {number}")).collect();
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
        assert_eq!(last_errors(&line("INFO", "all is well")), "");
    }

    #[test]
    fn answers_are_compared_with_the_first_of_their_own_case() {
        let answer = |each: &str| Ok(Answer { status: 404, body: format!("No {each}").into(), ..Answer::default() });
        let value = |each: &str, is_first| (each.to_owned(), is_first);
        let mut alike = Alike::default();
        assert_eq!(alike.see(&answer("one"), &value("one", true)), None);
        assert_eq!(alike.see(&answer("two"), &value("two", false)), None);
        assert!(alike.see(&answer("one"), &value("two", false)).is_some());
        // The next case, whose first answer does not come.
        assert_eq!(alike.see(&Err(std::io::ErrorKind::ConnectionReset.into()), &value("one", true)), None);
        let told = alike.see(&answer("two"), &value("two", false)).unwrap();
        assert!(told.contains("the first: no answer: connection reset"), "{told}");
    }
}
