//! A cluster of two nodes of MariaDB with Galera.

use std::time::{Duration, Instant};

use glance_api::config::{DatabaseSection, Secret};
use glance_api::db::model::ImageUpdate;
use glance_api::db::tasks::{NewTask, TaskStep};
use glance_api::db::{Db, DbError, images, tasks};
use serde_json::json;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Executor};
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::timeout;

use crate::between::Between;
use crate::common::database::{Fault, Kind, Proxy, Server};
use crate::common::{Request, free_port, wait_for};
use crate::db_suite::uuid;
use crate::{common, connect, create, is_there};

/// Failures of a node are found out after three seconds. On a busy machine one may be silent for a second.
const SETTINGS: &str = "gcache.size=16M;evs.keepalive_period=PT0.2S;evs.join_retrans_period=PT0.2S;evs.suspect_timeout=PT3S;\
                        evs.inactive_timeout=PT6S;evs.inactive_check_period=PT0.2S;evs.install_timeout=PT3S";

struct Cluster {
    first: Server,
    second: Server,
    before_second: Proxy,
    ports: [u16; 2],
}

impl Cluster {
    fn start() -> Self {
        let group = free_port();
        let first = node(group, "gcomm://".to_owned());
        let second = node(free_port(), format!("gcomm://127.0.0.1:{group}"));
        first.sql("CREATE USER glance@localhost; GRANT ALL ON glance.* TO glance@localhost");
        let [before_first, before_second] = [&first, &second].map(Proxy::before);
        let ports = [before_first.port(), before_second.port()];
        Self { first, second, before_second, ports }
    }

    /// For a user who is bound by `read_only`.
    fn url(ports: &[u16]) -> String {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("mysql+pymysql://glance@{}/glance?charset=utf8mb4", hosts.join(","))
    }
}

fn node(group: u16, cluster: String) -> Server {
    let (transfer, changes) = (free_port(), free_port());
    Server::start_with(Kind::MariaDb, |_| {
        vec![
            "--wsrep-on=1".to_owned(),
            "--wsrep-provider=/usr/lib/galera/libgalera_smm.so".to_owned(),
            "--wsrep-cluster-name=images".to_owned(),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            "--wsrep-sst-method=rsync".to_owned(),
            format!("--wsrep-sst-receive-address=127.0.0.1:{transfer}"),
            format!("--wsrep-cluster-address={cluster}"),
            format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{changes};{SETTINGS}"
            ),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            "--innodb-log-file-size=8M".to_owned(),
        ]
    })
}

fn is_ready(node: &Server) -> bool {
    node.sql("SHOW STATUS LIKE 'wsrep_ready'").ends_with("ON")
}

fn wait_ready(node: &Server, wanted: bool) {
    wait_for("the node's state", Duration::from_secs(60), || (is_ready(node) == wanted).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn galera() {
    let cluster = block_in_place(Cluster::start);
    let both = connect(&Cluster::url(&cluster.ports)).await;
    both.create_schema().await.unwrap();
    let each = [connect(&Cluster::url(&cluster.ports[..1])).await, connect(&Cluster::url(&cluster.ports[1..])).await];

    changes_on_both_nodes(&each).await;
    a_change_that_is_overtaken(&cluster, &each).await;
    only_a_commit_leaves_its_outcome_open(&cluster, &each).await;
    a_look_sees_what_another_node_has_committed(&cluster, &each[0]).await;
    tasks_are_known_wherever_they_began(&cluster, &each).await;
    a_node_that_takes_no_changes(&cluster, &both).await;
    block_in_place(|| failures_behind_a_proxy(cluster));
}

/// Each change is whole, none fails for the other, and of two that exclude each other one wins.
async fn changes_on_both_nodes(each: &[Db; 2]) {
    let id = create(&each[0]).await;
    wait_until_there(&each[1], &id).await;
    let mut work = JoinSet::new();
    for (node, db) in each.iter().enumerate() {
        for number in 0..6 {
            let (db, id) = (db.clone(), id.clone());
            work.spawn(async move {
                for round in 0..5 {
                    let word = format!("{node}-{number}-{round}");
                    let properties = vec![("word".to_owned(), Some(word.clone()))];
                    let change =
                        ImageUpdate { name: Some(Some(word)), properties: Some(properties), ..ImageUpdate::default() };
                    images::update(&db, &id, change, None).await.unwrap();
                }
            });
        }
    }
    work.join_all().await;
    for db in each {
        let image = images::get(db, &id, false).await.unwrap().unwrap();
        let words: Vec<_> = image.properties.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(words, [image.name]);
    }

    for _ in 0..10 {
        let id = create(&each[0]).await;
        wait_until_there(&each[1], &id).await;
        let (one, other) = tokio::join!(save(&each[0], &id), save(&each[1], &id));
        let (won, lost): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(matches!(lost[0], Err(DbError::StateConflict { .. })), "{:?}", lost[0]);
    }
}

/// `queued` → `saving`, which of several rivals one may do.
async fn save(db: &Db, id: &str) -> Result<(), DbError> {
    let change = ImageUpdate { status: Some("saving".to_owned()), ..ImageUpdate::default() };
    images::update(db, id, change, Some(&["queued"])).await.map(drop)
}

/// Wherever a transaction stands when the other node's change of the same row comes, one of the two counts, and of the other nothing.
/// `is_first`: nothing is prepared on the connection yet.
async fn a_change_that_is_overtaken(cluster: &Cluster, each: &[Db; 2]) {
    let second = connect(&Cluster::url(&cluster.ports[1..])).await;
    for is_first in [true, false] {
        for messages in 0.. {
            let db = if is_first { connect(&Cluster::url(&cluster.ports[1..])).await } else { second.clone() };
            let id = create(&each[0]).await;
            wait_until_there(&each[1], &id).await;
            cluster.before_second.hold_after(messages);
            let late = tokio::spawn({
                let id = id.clone();
                async move { save(&db, &id).await }
            });
            while !late.is_finished() && !cluster.before_second.is_holding() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if late.is_finished() {
                late.await.unwrap().unwrap();
                // The update itself, the rows below it and the COMMIT at least.
                assert!(messages > 3, "the transaction was not held");
                break;
            }
            let early = save(&each[0], &id).await;
            let status = format!("SELECT status FROM glance.images WHERE id = '{id}'");
            block_in_place(|| {
                wait_for("the change", Duration::from_secs(60), || {
                    (cluster.second.sql(&status) == "saving").then_some(())
                })
            });
            cluster.before_second.let_go();
            let late = late.await.unwrap();
            let (won, lost) = if early.is_ok() { (early, late) } else { (late, early) };
            let is_one = won.is_ok() && matches!(lost, Err(DbError::StateConflict { .. }));
            assert!(is_one, "{is_first} {messages}: {won:?} {lost:?}");
        }
    }
}

/// What comes before the COMMIT is repeated if its answer is lost, and nobody waits for what comes after it.
async fn only_a_commit_leaves_its_outcome_open(cluster: &Cluster, each: &[Db; 2]) {
    let proxy = &cluster.before_second;
    // The connection is given up after five seconds without an answer.
    let (at_once, later) = (Duration::from_secs(4), Duration::from_secs(15));
    for (words, fault, limit) in [
        ("SET autocommit = 1", Fault::CutBefore, at_once),
        ("SET autocommit = 1", Fault::Swallow, at_once),
        ("RELEASE SAVEPOINT", Fault::CutBefore, later),
        ("RELEASE SAVEPOINT", Fault::CutAfter, later),
    ] {
        let id = create(&each[0]).await;
        wait_until_there(&each[1], &id).await;
        proxy.fault_at(words, fault);
        let start = Instant::now();
        let saved = save(&each[1], &id).await;
        assert!(saved.is_ok(), "{words} {fault:?}: {saved:?}");
        assert!(start.elapsed() < limit, "{words} {fault:?}: {:?}", start.elapsed());
        block_in_place(|| wait_for(words, Duration::from_secs(10), || proxy.has_struck().then_some(())));
        // No connection is used that is not as it was: its reads would see for ever what the first of them saw.
        for name in ["before", "after"] {
            cluster.second.sql(&format!("UPDATE glance.images SET name = '{name}' WHERE id = '{id}'"));
            let image = images::get(&each[1], &id, false).await.unwrap().unwrap();
            assert_eq!(image.name.as_deref(), Some(name), "{words} {fault:?}");
        }
    }
    let id = create(&each[1]).await;
    proxy.fault(Fault::CutAfter);
    let error = save(&each[1], &id).await.unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
}

/// Also while this node has not come to it, and without keeping others waiting on that connection.
async fn a_look_sees_what_another_node_has_committed(cluster: &Cluster, first: &Db) {
    let connection = Some(Secret::from(Cluster::url(&cluster.ports[1..]).as_str()));
    let one = DatabaseSection { connection, max_pool_size: 1, max_overflow: 0, ..DatabaseSection::default() };
    let second = Db::connect(&one).await.unwrap();
    let id = create(first).await;
    wait_until_there(&second, &id).await;
    let mut lag = Lag::ready(cluster).await;
    lag.begin().await;
    save(first, &id).await.unwrap();
    let looking = tokio::spawn({
        let (second, id) = (second.clone(), id.clone());
        async move { images::with_owner(&second, &id).await }
    });
    lag.wait_for_one_who_waits(&looking);
    lag.end().await;
    let found = looking.await.unwrap().unwrap().unwrap();
    assert_eq!(found.image.status, "saving");

    lag.begin().await;
    let read = timeout(Duration::from_secs(10), images::get(&second, &id, false)).await;
    assert_eq!(read.expect("no other read waits").unwrap().unwrap().status, "saving");
    lag.end().await;
    lag.over().await;
}

/// By their worker, whose lease and steps may go by way of another node than the task's beginning, and by who ends tasks of the dead.
async fn tasks_are_known_wherever_they_began(cluster: &Cluster, each: &[Db; 2]) {
    let mut lag = Lag::ready(cluster).await;
    for asked in ["to renew its lease", "for a step", "for the task", "for the leases"] {
        let id = uuid();
        let task = NewTask {
            id: id.clone(),
            kind: "import".to_owned(),
            owner: String::new(),
            image_id: None,
            request_id: None,
            user_id: None,
            input: json!({}),
        };
        lag.begin().await;
        tasks::create(&each[0], task).await.unwrap();
        let db = each[1].clone();
        let asking = tokio::spawn(async move {
            match asked {
                "to renew its lease" => tasks::renew(&db, vec![id.clone()]).await.unwrap() == [id],
                "for a step" => tasks::take_step(&db, begin(&id)).await.is_ok(),
                "for the task" => tasks::get_current(&db, &id).await.unwrap().is_some(),
                _ => tasks::leases(&db, 100).await.unwrap().iter().any(|lease| lease.task == id),
            }
        });
        lag.wait_for_one_who_waits(&asking);
        lag.end().await;
        assert!(asking.await.unwrap(), "asked {asked}, the second node knows nothing of it");
    }
    lag.over().await;
}

fn begin(id: &str) -> TaskStep {
    TaskStep {
        task: id.to_owned(),
        from: vec!["pending"],
        to: "processing",
        result: None,
        message: None,
        expires_at: None,
        image: None,
    }
}

/// The second node applies changes one after the other, and comes to none while it waits for the lock of a table.
struct Lag<'a> {
    cluster: &'a Cluster,
    holder: MySqlConnection,
    rounds: u32,
}

impl<'a> Lag<'a> {
    async fn ready(cluster: &'a Cluster) -> Self {
        cluster.first.sql("CREATE TABLE held (number INT PRIMARY KEY)");
        let holder = MySqlConnectOptions::new().username("root").socket(cluster.second.socket());
        Self { cluster, holder: holder.connect().await.unwrap(), rounds: 0 }
    }

    async fn begin(&mut self) {
        self.rounds += 1;
        self.holder.execute("LOCK TABLES glance.held READ").await.unwrap();
        self.cluster.first.sql(&format!("INSERT INTO held VALUES ({})", self.rounds));
    }

    fn wait_for_one_who_waits<T>(&self, asking: &JoinHandle<T>) {
        let waiting =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'START TRANSACTION' AND time_ms > 500";
        block_in_place(|| {
            wait_for("somebody waits", Duration::from_secs(20), || {
                assert!(!asking.is_finished(), "nobody has waited");
                (self.cluster.second.sql(waiting) == "1").then_some(())
            });
        });
    }

    async fn end(&mut self) {
        self.holder.execute("UNLOCK TABLES").await.unwrap();
    }

    async fn over(mut self) {
        self.holder.execute("DROP TABLE glance.held").await.unwrap();
    }
}

async fn wait_until_there(db: &Db, id: &str) {
    for _ in 0..500 {
        if is_there(db, id).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} has not reached the other node");
}

async fn a_node_that_takes_no_changes(cluster: &Cluster, both: &Db) {
    cluster.first.sql("SET GLOBAL read_only = 1");
    let id = create(both).await;
    assert!(is_there(both, &id).await);
    let start = Instant::now();
    let alone = connect(&Cluster::url(&cluster.ports[..1])).await;
    let error = images::delete(&alone, &id, "deleted", None).await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_unknown(), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    cluster.first.sql("SET GLOBAL read_only = 0");
    images::delete(&alone, &id, "deleted", None).await.unwrap();
}

/// The service goes on, or says 503; what it has confirmed is there.
fn failures_behind_a_proxy(cluster: Cluster) {
    let Cluster { first, second, .. } = cluster;
    let proxy = Between::haproxy(second.folder(), &[&first.socket(), &second.socket()], 30_000);
    let url = Cluster::url(&[proxy.port]);
    let service = common::Server::with(|conf| conf.set("database.connection", url));
    let make = || {
        let image = json!({"name": "made", "disk_format": "raw", "container_format": "bare"});
        service.send(&Request::new("POST", "/v2/images").json(&image))
    };
    let mut made = vec![make().expect(201).json()["id"].as_str().unwrap().to_owned()];

    // The nodes lose sight of each other: neither has a majority.
    second.sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    wait_ready(&first, false);
    let start = Instant::now();
    let refused = make().expect(503);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(!refused.text().is_empty());
    service.send(&Request::new("GET", "/v2/images")).expect(503);
    first.sql("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'");
    wait_ready(&first, true);
    made.push(make().expect(201).json()["id"].as_str().unwrap().to_owned());
    second.sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
    wait_ready(&second, true);

    // The node that is in use goes away.
    let mut stopping = Some(first);
    for round in 0..40 {
        if round == 5 {
            drop(stopping.take());
        }
        let answer = make();
        match answer.status {
            201 => made.push(answer.json()["id"].as_str().unwrap().to_owned()),
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
    }
    make().expect(201);
    for id in made {
        service.send(&Request::new("GET", &format!("/v2/images/{id}"))).expect(200);
    }
}
