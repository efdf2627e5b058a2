//! One configuration, one database, two stores, and the service that runs on them at the moment.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::guide::{Guide, Host};
use crate::case::{self, Step};
use crate::common::database::{Kind, Server as Database};
use crate::common::peers::{Keystone, Upstream};
use crate::common::{Answer, Client, Conf, Server, free_port};
use crate::difference::differences;
use crate::names::Names;
use crate::run::{Side, known_values, token_of};
use crate::running::Running;

/// The same at every request, so that it is left out.
const OF_THE_REQUEST: &str = "x-openstack-request-id";

pub(super) struct Cloud {
    pub(super) conf: Conf,
    running: Option<Service>,
    /// Tasks that may not have ended.
    tasks: Running,
    side: Side,
    host: Host,
    database: Option<Database>,
    // Removed last.
    _folder: TempDir,
}

enum Service {
    Upstream(Upstream),
    Ours(Server),
}

/// What one request was answered.
pub(super) struct Look {
    step: Step,
    answer: Answer,
}

impl Cloud {
    /// Upstream's service on empty tables.
    pub(super) fn new(kind: Option<Kind>) -> Self {
        let folder = tempfile::Builder::new().prefix("glance-takeover-").tempdir().unwrap();
        let root = folder.path().join("root");
        let port = free_port();
        let host = Host::new(&root, port);
        let database = kind.map(Database::start);
        let sqlite = root.join("var/lib/glance/glance.sqlite");
        let url = database.as_ref().map_or_else(|| format!("sqlite:///{}", sqlite.display()), Database::url);
        let keystone = Keystone::shared();
        let conf = Conf::new(&root.join("etc/glance"), port)
            .two_stores()
            .keystone(keystone)
            .set("database.connection", url)
            .set("DEFAULT.worker_self_reference_url", format!("http://127.0.0.1:{port}"))
            .set("DEFAULT.delayed_delete", true)
            .set("DEFAULT.show_multiple_locations", true)
            .set("DEFAULT.show_image_direct_url", true);
        fs::copy(conf.write(), root.join("etc/kolla/glance-api/glance-api.conf")).unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_glance-manage"))
            .arg("--config-file")
            .arg(conf.path())
            .args(["db", "sync"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let mut names = Names::exact();
        names.replace(&root.display().to_string(), "root");
        let mut values = known_values(keystone);
        values.insert("server".to_owned(), format!("127.0.0.1:{port}"));
        let client = Client::new(([127, 0, 0, 1], port).into());
        let side = Side { client, values, names, log: None, _service: Box::new(()) };
        let mut cloud = Self { conf, running: None, tasks: Running::default(), side, host, database, _folder: folder };
        cloud.host.variables = cloud.variables();
        cloud.running = Some(Service::Upstream(Upstream::start(cloud.conf.clone())));
        cloud
    }

    /// What the tools of the database are told elsewhere by files in the home of root.
    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![("OS_TOKEN".to_owned(), token_of("admin").unwrap().to_owned())];
        if let Some(database) = &self.database {
            let folder = database.folder().display();
            let cnf = format!("[client]\nuser=root\nsocket={folder}/socket\n");
            fs::write(self.host.root.join("root/.my.cnf"), cnf).unwrap();
            variables.push(("PGHOST".to_owned(), folder.to_string()));
            variables.push(("PGUSER".to_owned(), "glance".to_owned()));
        }
        variables
    }

    /// Whether the database is a server's.
    pub(super) fn has_server(&self) -> bool {
        self.database.is_some()
    }

    /// Our service, if it is the one that runs.
    pub(super) fn ours(&self) -> Option<&Server> {
        match &self.running {
            Some(Service::Ours(server)) => Some(server),
            _ => None,
        }
    }

    /// Sends the requests of a file in order; each must succeed.
    pub(super) fn act(&mut self, name: &str) {
        for step in steps(name) {
            let answer = self.ask(name, &step);
            assert!((200..300).contains(&answer.status), "{name} {}: {} {}", step.label, answer.status, answer.text());
            assert!(step.case.is_awaited(&answer.body), "{name} {}: {}", step.label, answer.text());
            assert_eq!(self.side.save(&step.case, &answer), None);
        }
    }

    /// Sends a request of a file, which must not meet a task that runs.
    fn ask(&mut self, name: &str, step: &Step) -> Answer {
        let token = token_of(&step.who);
        let asked = step.request(&self.side.values, token);
        assert_eq!(self.tasks.objection(&asked), None, "{name} {}", step.label);
        let answer = self.side.answer(step, token).unwrap();
        assert_eq!(self.tasks.learn(&asked, &answer), None, "{name} {}", step.label);
        answer
    }

    /// States that a server leaves only when it dies.
    pub(super) fn odd_states(&self) {
        for state in ["saving", "killed"] {
            let id = &self.side.values[state];
            self.sql(&format!("UPDATE images SET status = '{state}' WHERE id = '{id}'"));
        }
        let now = "CURRENT_TIMESTAMP";
        self.sql("INSERT INTO node_reference (node_reference_url) VALUES ('http://one'), ('http://two')");
        self.sql(&format!(
            "INSERT INTO cached_images (image_id, last_accessed, last_modified, size, hits, checksum, node_reference_id) \
             SELECT '{}', {now}, {now}, 6, 3, 'c', node_reference_id FROM node_reference",
            self.side.values["active"]
        ));
    }

    /// What the table of cached images holds.
    pub(super) fn cache_rows(&self) -> String {
        let stamp = if self.database.is_some() { "CAST(last_accessed AS CHAR(19))" } else { "last_accessed" };
        let text = format!("REPLACE({stamp}, ' ', 'T')");
        let all = match self.database {
            Some(_) => format!("CONCAT(image_id, '/', {text}, '/', hits, '/', node_reference_id)"),
            None => format!("image_id || '/' || {text} || '/' || hits || '/' || node_reference_id"),
        };
        self.sql(&format!("SELECT {all} FROM cached_images ORDER BY id"))
    }

    fn sql(&self, sql: &str) -> String {
        match &self.database {
            Some(database) => database.sql(sql),
            None => {
                let path = self.host.root.join("var/lib/glance/glance.sqlite");
                let done =
                    Command::new("sqlite3").arg("-cmd").arg(".timeout 5000").arg(path).arg(sql).output().unwrap();
                assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
                String::from_utf8(done.stdout).unwrap()
            }
        }
    }

    /// Everything that can be seen.
    pub(super) fn look(&mut self) -> Vec<Look> {
        let mut looks = Vec::new();
        for step in steps("looks") {
            let mut answer = self.ask("looks", &step);
            answer.headers.retain(|(name, _)| name != OF_THE_REQUEST);
            looks.push(Look { step, answer });
        }
        looks
    }

    pub(super) fn assert_same(&self, theirs: &[Look], ours: &[Look], what: &str) {
        let names = &self.side.names;
        let mut report = String::new();
        for (their, our) in theirs.iter().zip(ours) {
            assert!(their.answer.status < 500, "{}: {}", their.step.label, their.answer.text());
            for one in differences(&their.step.case, (&their.answer, names), (&our.answer, names)) {
                let _ = writeln!(report, "  {}\n    {one}", their.step.label);
            }
        }
        assert!(theirs.len() == ours.len() && theirs.len() > 80);
        assert!(report.is_empty(), "{what}:\n{report}");
    }

    /// Runs a section of the guide, starting and stopping services as it says: it takes one away and brings the other.
    pub(super) fn follow(&mut self, guide: &Guide, title: &str) -> String {
        let Self { running, conf, host, .. } = self;
        let goes_to_ours = matches!(running, Some(Service::Upstream(_)));
        let said = host.run(guide, title, &mut |what| match (what, running.take()) {
            ("stop", Some(Service::Upstream(upstream))) => upstream.end(),
            ("stop", _) => {}
            (_, None) if goes_to_ours => *running = Some(Service::Ours(Server::start(conf.clone()))),
            (_, None) => *running = Some(Service::Upstream(Upstream::start(conf.clone()))),
            (_, Some(service)) => *running = Some(service),
        });
        assert!(running.is_some(), "{title} leaves no service: {}", host.words());
        said
    }

    /// Another host with our service, with the same database and stores.
    pub(super) fn another_host(&self, folder: &Path, change: impl FnOnce(Conf) -> Conf) -> Server {
        Server::start(change(self.conf.clone().on_another_host(folder, free_port())))
    }

    /// Ends the service that runs.
    pub(super) fn stop(&mut self) {
        if let Some(Service::Upstream(upstream)) = self.running.take() {
            upstream.end();
        }
    }
}

fn steps(name: &str) -> Vec<Step> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare/takeover");
    let (_, file) = case::read(&folder.join(format!("{name}.yaml")));
    case::steps(&file.cases, &file.who)
}
