//! The database: where it is, and the pools of connections to it.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Connection;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::config::{DatabaseSection, FileStates};

use super::backend::{Backend, addresses, backend, backend_of_replica, seconds};
use super::cipher::LocationCipher;
use super::dialect::Dialect;
use super::error::DbError;
use super::gathering::ImageReaders;
use super::in_line::ListReaders;
use super::pool::{Pool, Pooled};
use super::replica::Replica;
use super::session::{Link, Session, Traits};

/// How long a health check waits for an answer.
const PING_LIMIT: Duration = Duration::from_secs(3);

/// Which connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// One of the pool's, after whoever came before.
    InOrder,
    /// One beside them where all are in use.
    Beside,
}

/// The database. Cheap to clone; all clones share the pools.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    /// What it was made from.
    options: Arc<DatabaseSection>,
    /// Those that the options name, as they were then.
    files: Arc<FileStates>,
    /// Where it is, for error texts.
    label: Arc<str>,
    /// Of the URLs of locations, where they are encrypted.
    cipher: Option<Arc<LocationCipher>>,
    /// Who waits to read an image.
    image_readers: Arc<ImageReaders>,
    list_readers: Arc<ListReaders>,
    /// For reads that may lag.
    replica: Option<Arc<Replica>>,
    /// Of a replica: what to ask when it fails.
    main: Option<Arc<(Db, Arc<Replica>)>>,
    /// How many statements the database has answered.
    answers: Arc<AtomicU64>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens `[database] connection` and makes the first connection. A file of SQLite that is missing is created empty.
    ///
    /// # Errors
    /// The first failure.
    pub async fn connect(options: &DatabaseSection) -> Result<Self, DbError> {
        let db = Self::open(options).await?;
        db.reach().await?;
        Ok(db)
    }

    /// Whether the options can be used at all; contacts nobody.
    ///
    /// # Errors
    /// [`DbError::Url`]
    pub fn check(options: &DatabaseSection) -> Result<(), DbError> {
        addresses(options).map(drop)
    }

    /// As [`Self::connect`], with `max_retries` further attempts every `retry_interval` seconds while a server cannot be
    /// reached (`oslo_db/sqlalchemy/engines.py`). `waiting` is told of each failure, and within what time the next attempt
    /// will have an outcome.
    ///
    /// # Errors
    /// The last failure.
    pub async fn connect_patiently(
        options: &DatabaseSection,
        waiting: impl Fn(&DbError, Duration),
    ) -> Result<Self, DbError> {
        let db = Self::open(options).await?;
        let pause = seconds(options.retry_interval);
        let mut attempts: i64 = 0;
        loop {
            let Err(error) = db.reach().await else { return Ok(db) };
            attempts += 1;
            let worth_it = matches!(error, DbError::Unreachable(_)) && db.dialect() != Dialect::Sqlite;
            if !worth_it || (options.max_retries >= 0 && attempts > options.max_retries) {
                return Err(error);
            }
            waiting(&error, pause + db.backend.connect_limit());
            sleep(pause).await;
        }
    }

    /// The pools, without a connection yet.
    async fn open(options: &DatabaseSection) -> Result<Self, DbError> {
        let options = Arc::new(options.clone());
        let shared = Arc::clone(&options);
        // The addresses may name files.
        let found = spawn_blocking(move || addresses(&shared)).await.map_err(|_| DbError::Interrupted)??;
        let files = Arc::new(found.files());
        let (label, backend) = backend(found.main, &options, "connection")?;
        let replica = match found.replica {
            Some(address) if !options.synchronous_reader => {
                let (label, backend) = backend_of_replica(address, &options)?;
                Some(Arc::new(Replica::new(backend, label)))
            }
            _ => None,
        };
        let (image_readers, list_readers, answers) = (Arc::default(), Arc::default(), Arc::default());
        let (cipher, main) = (None, None);
        Ok(Self { backend, options, files, label, cipher, image_readers, list_readers, replica, main, answers })
    }

    /// This database for reads that may be behind what has just been written: the replica of `slave_connection`, where there is one
    /// and `synchronous_reader` is off, and the database itself as long as the replica fails.
    pub(crate) fn lagging(&self) -> Self {
        match &self.replica {
            Some(replica) if replica.is_fit() => Self {
                backend: replica.backend.clone(),
                label: Arc::clone(&replica.label),
                // What it finds is not for those who ask the database itself.
                image_readers: Arc::default(),
                list_readers: Arc::default(),
                replica: None,
                main: Some(Arc::new((self.clone(), Arc::clone(replica)))),
                answers: Arc::default(),
                ..self.clone()
            },
            _ => self.clone(),
        }
    }

    /// The database behind this replica.
    pub(super) fn replica_in_use(&self) -> Option<&(Self, Arc<Replica>)> {
        self.main.as_deref()
    }

    pub(super) fn image_readers(&self) -> &Arc<ImageReaders> {
        &self.image_readers
    }

    /// Those who want a list, while one of them is in line for a connection.
    pub(super) fn list_readers(&self) -> &Arc<ListReaders> {
        &self.list_readers
    }

    pub(super) fn options(&self) -> &DatabaseSection {
        &self.options
    }

    /// Makes one connection, unless there is one.
    async fn reach(&self) -> Result<(), DbError> {
        self.writer().await.map(drop)
    }

    /// Whether the database answers, within three seconds, however busy the pool is. A pooler such as PgBouncer keeps the question
    /// waiting while all its connections are in use; then an answer to somebody else's in that time counts.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn ping(&self) -> Result<(), DbError> {
        let asked = async {
            match self.ask().await {
                // The connection may have been cut while it was idle. The pool looks whether the others work.
                Err(DbError::Unreachable(_)) => self.ask().await,
                done => done,
            }
        };
        let before = self.answers();
        match timeout(PING_LIMIT, asked).await {
            Ok(done) => done,
            Err(_) if self.answers() != before => Ok(()),
            Err(_) => Err(DbError::Timeout(PING_LIMIT)),
        }
    }

    async fn ask(&self) -> Result<(), DbError> {
        self.session_by(Queue::Beside, false, || ()).await?.plain("SELECT 1").await
    }

    /// How many statements the database has answered, all clones together.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether these options would make the same connections, so that a reload can keep them. Reads the files that they name, so it
    /// blocks. Options that cannot be used any more would not.
    pub fn is_made_from(&self, options: &DatabaseSection) -> bool {
        *self.options == *options && addresses(options).is_ok_and(|found| found.files() == *self.files)
    }

    /// The same database, with the URLs of locations encrypted, or plain.
    pub fn with_cipher(self, cipher: Option<LocationCipher>) -> Self {
        // Whoever reads for others deciphers for them: those with another key are not among them.
        Self { cipher: cipher.map(Arc::new), image_readers: Arc::default(), list_readers: Arc::default(), ..self }
    }

    /// Which SQL the database speaks.
    pub fn dialect(&self) -> Dialect {
        match &self.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres { .. } => Dialect::Postgres,
            Backend::MySql { .. } => Dialect::MySql,
        }
    }

    /// Closes the connections above `max_pool_size` that nobody has used for a while. To be called from time to time while there is a
    /// [surplus](Self::wait_for_surplus) by a program that runs for long; others close all of them at their end.
    pub async fn trim(&self) {
        self.backend.trim().await;
        if let Some(replica) = &self.replica {
            replica.backend.trim().await;
        }
    }

    /// Waits until more connections are idle than are kept.
    pub async fn wait_for_surplus(&self) {
        let of_replica = async {
            match &self.replica {
                Some(replica) => replica.backend.wait_for_surplus().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.backend.wait_for_surplus() => {}
            () = of_replica => {}
        }
    }

    /// Closes all connections after their present use.
    pub async fn close(&self) {
        self.backend.close().await;
        if let Some(replica) = &self.replica {
            replica.backend.close().await;
        }
    }

    /// A connection for reading.
    #[cfg(test)]
    pub(super) async fn reader(&self) -> Result<Session, DbError> {
        self.session(false, || ()).await
    }

    /// A connection that may write.
    pub(super) async fn writer(&self) -> Result<Session, DbError> {
        self.session(true, || ()).await
    }

    /// A connection. `on_admission` is called once it is sure that there will be one unless the database is away: until then,
    /// whoever waits may be dropped.
    pub(super) async fn session(&self, writes: bool, on_admission: impl FnOnce()) -> Result<Session, DbError> {
        self.session_by(Queue::InOrder, writes, on_admission).await
    }

    async fn session_by(&self, queue: Queue, writes: bool, on_admission: impl FnOnce()) -> Result<Session, DbError> {
        let (link, traits) = match &self.backend {
            Backend::Sqlite { write, read } => {
                let pool = if writes { write } else { read };
                (Link::Sqlite(self.connection(pool, queue, writes, on_admission).await?), Traits::default())
            }
            Backend::Postgres { pool, is_pooled, .. } => {
                let link = Link::Postgres(self.connection(pool, queue, writes, on_admission).await?);
                // Known at the latest when the connection was made.
                (link, Traits { is_pooled: is_pooled.load(Ordering::SeqCst), ..Traits::default() })
            }
            Backend::MySql { pool, answer, is_strict, is_galera, .. } => {
                let link = Link::MySql(self.connection(pool, queue, writes, on_admission).await?);
                let is_galera = is_galera.load(Ordering::SeqCst);
                (link, Traits { answer: *answer, is_strict: *is_strict, is_galera, ..Traits::default() })
            }
        };
        Ok(Session::new(link, traits, self.cipher.clone(), Arc::clone(&self.answers)))
    }

    async fn connection<C: Connection + 'static>(
        &self,
        pool: &Pool<C>,
        queue: Queue,
        writes: bool,
        on_admission: impl FnOnce(),
    ) -> Result<Pooled<C>, DbError> {
        let admitted = match queue {
            Queue::InOrder => pool.admit(writes).await?,
            Queue::Beside => pool.admit_beside().await?,
        };
        on_admission();
        admitted.connection().await.map_err(|error| DbError::of_connecting(error, &self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn section(url: &str) -> DatabaseSection {
        DatabaseSection { connection: Some(Secret::from(url)), ..DatabaseSection::default() }
    }

    #[tokio::test]
    async fn one_writer_and_some_readers() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&section(&format!("sqlite:///{}/a.db", folder.path().display()))).await.unwrap();
        let Backend::Sqlite { write, read } = &db.backend else { panic!() };
        assert_eq!(write.limits().connections, 1);
        assert!(read.limits().connections >= 2);
        assert_eq!(format!("{db:?}"), "Db { dialect: Sqlite, .. }");
    }

    /// As a pooler does whose connections are all in use.
    #[tokio::test]
    async fn a_question_that_is_kept_waiting_is_answered_by_the_answer_to_another() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgresql://u@{}/n", silent.local_addr().unwrap());
        let options = section(&url);
        let (idle, in_use) = tokio::join!(Db::open(&options), Db::open(&options));
        let (idle, in_use) = (idle.unwrap(), in_use.unwrap());
        let other = async {
            sleep(PING_LIMIT / 3).await;
            in_use.answers.fetch_add(1, Ordering::Relaxed);
        };
        let (told, told_in_use, ()) = tokio::join!(idle.ping(), in_use.ping(), other);
        assert!(matches!(told, Err(DbError::Timeout(_))), "{told:?}");
        assert!(told_in_use.is_ok(), "{told_in_use:?}");
    }

    #[tokio::test]
    async fn answers_are_counted_and_failures_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&section(&format!("sqlite:///{}/a.db", folder.path().display()))).await.unwrap();
        let before = db.answers();
        let query = |column| sea_query::Query::select().expr(sea_query::Expr::cust(column)).take();
        db.reader().await.unwrap().rows(&query("1"), |_| Ok(())).await.unwrap();
        assert_eq!(db.answers(), before + 1);
        db.reader().await.unwrap().rows(&query("nothing"), |_| Ok(())).await.unwrap_err();
        // A pooler may answer this by itself.
        db.reader().await.unwrap().plain("SELECT 1").await.unwrap();
        assert_eq!(db.answers(), before + 1);
    }

    #[tokio::test]
    async fn a_missing_directory_is_told_at_once() {
        let start = std::time::Instant::now();
        let error = Db::connect(&section("sqlite:////nowhere/at/all.db")).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(matches!(error, DbError::Refused(_)), "{error:?}");
    }

    #[tokio::test]
    async fn connections_go_on_until_their_options_or_a_file_of_these_changes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("more")).unwrap();
        std::fs::create_dir(at("trusted")).unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
        for (name, text) in [
            ("passwords", "*:*:*:*:old\n".to_owned()),
            ("services", "[images]\nuser=old\n".to_owned()),
            ("roots", certificate.clone()),
            ("options", format!("[client]\npassword=old\n!includedir {}\n", at("more").display())),
            ("more/one.cnf", "[client]\nuser=old\n".to_owned()),
            ("trusted/one.pem", certificate.clone()),
        ] {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let here = |query: &str| query.replace("HERE", &folder.path().display().to_string());
        let postgres = |query| section(&format!("postgresql://localhost/n?{}", here(query)));
        let mysql = |query| section(&format!("mysql+pymysql://localhost/n?{}", here(query)));
        let own_options = "read_default_file=HERE/options";
        let of_replica =
            DatabaseSection { slave_connection: mysql(own_options).connection, ..section("mysql://localhost/n") };
        for (options, file) in [
            (postgres("passfile=HERE/passwords"), "passwords"),
            (postgres("passfile=HERE/absent"), "absent"),
            (postgres("service=images&servicefile=HERE/services"), "services"),
            (postgres("sslrootcert=HERE/roots"), "roots"),
            (mysql(own_options), "options"),
            (mysql(own_options), "more/one.cnf"),
            (mysql(own_options), "more/two.cnf"),
            (mysql("ssl_capath=HERE/trusted"), "trusted/one.pem"),
            (mysql("ssl_capath=HERE/trusted"), "trusted/two.pem"),
            (of_replica, "options"),
        ] {
            let db = Db::open(&options).await.unwrap();
            assert!(db.is_made_from(&options), "{file}");
            assert!(!db.is_made_from(&DatabaseSection { max_pool_size: 7, ..options.clone() }), "{file}");
            let text = std::fs::read_to_string(at(file)).unwrap_or_default();
            std::fs::write(at(file), format!("{text}\n")).unwrap();
            assert!(!db.is_made_from(&options), "{file}");
            assert!(Db::open(&options).await.unwrap().is_made_from(&options), "{file}");
        }
        let db = Db::open(&mysql(own_options)).await.unwrap();
        std::fs::remove_file(at("options")).unwrap();
        assert!(!db.is_made_from(&mysql(own_options)));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_tried_as_often_as_configured() {
        let mut options = section("postgresql://u:s3cret@127.0.0.1:1/n");
        (options.max_retries, options.retry_interval) = (2, 0);
        let start = std::time::Instant::now();
        let told = std::cell::RefCell::new(Vec::new());
        let waiting = |error: &DbError, next| told.borrow_mut().push((format!("{error:?}"), next));
        let error = Db::connect_patiently(&options, waiting).await.unwrap_err();
        assert!(matches!(error, DbError::Unreachable(_)), "{error:?}");
        let told = told.into_inner();
        assert_eq!(told.len(), 2);
        let limit = Duration::from_secs(10);
        for (error, next) in told.into_iter().chain([(format!("{error:?}"), limit)]) {
            assert!(error.contains("ConnectionRefused") && !error.contains("s3cret"), "{error}");
            assert_eq!(next, limit);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(matches!(Db::connect(&options).await, Err(DbError::Unreachable(_))));
    }
}
