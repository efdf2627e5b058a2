//! MariaDB: TLS, option files, several servers, a proxy.

use crate::between::Between;
use crate::common::certificates::{Authority, Pair};
use crate::common::database::{Kind, Proxy, Server};
use crate::common::free_port;
use crate::postgresql::cut_when_idle;
use crate::{connect, create, is_there, refusal, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Server::start_with(Kind::MariaDb, |folder| {
        let Pair { certificate, key } = authority.issue();
        let ca = write(&folder.join("ca.pem"), authority.pem());
        let (certificate, key) =
            (write(&folder.join("server.crt"), certificate), write(&folder.join("server.key"), key));
        vec![format!("--ssl-ca={ca}"), format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")]
    });
    connect(&server.url()).await.create_schema().await.unwrap();
    server.sql("CREATE USER careful@localhost REQUIRE SSL; GRANT ALL ON glance.* TO careful@localhost");
    let port = Proxy::before(&server).port();

    tls(&server, port, &stranger).await;
    option_files(&server, port).await;
    servers(port).await;
    assert_eq!(server.sql("SHOW TABLES LIKE 'marked'"), "marked");
    let proxy = Between::haproxy(server.folder(), &[&server.socket()], 700);
    let db = connect(&format!("mysql+pymysql://careful@127.0.0.1:{}/glance", proxy.port)).await;
    cut_when_idle(&db).await;
}

/// `careful` is let in with TLS only.
async fn tls(server: &Server, port: u16, stranger: &Authority) {
    let ca = server.folder().join("ca.pem").display().to_string();
    let other = write(&server.folder().join("other.pem"), stranger.pem());
    let folder = server.folder().join("authorities");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&ca, folder.join("0123abcd.0")).unwrap();
    let folder = folder.display().to_string();
    let at = |host: &str, query: &str| format!("mysql+pymysql://careful@{host}:{port}/glance?{query}");
    for (host, query) in [
        // Where the server can, without being asked.
        ("127.0.0.1", String::new()),
        ("127.0.0.1", "ssl_disabled=false".to_owned()),
        ("127.0.0.1", "ssl_mode=REQUIRED".to_owned()),
        ("localhost", format!("ssl_ca={ca}")),
        ("localhost", format!("ssl_capath={folder}")),
        ("127.0.0.1", format!("ssl_ca={ca}&ssl_check_hostname=false")),
        ("127.0.0.1", format!("ssl_ca={other}&ssl_verify_cert=false")),
    ] {
        connect(&at(host, &query)).await;
    }
    for (host, query) in [
        ("127.0.0.1", format!("ssl_ca={ca}")),
        ("127.0.0.1", format!("ssl_capath={folder}")),
        ("localhost", format!("ssl_ca={other}")),
        ("localhost", format!("ssl_ca={other}&ssl_check_hostname=false")),
    ] {
        let text = refusal(&at(host, &query)).await;
        assert!(text.contains("certificate"), "{query}: {text}");
    }
    let text = refusal(&at("127.0.0.1", "ssl_disabled=true")).await;
    assert!(text.contains("does not know the user"), "{text}");
}

async fn option_files(server: &Server, port: u16) {
    let folder = server.folder();
    let ca = folder.join("ca.pem").display().to_string();
    let more = folder.join("conf.d");
    std::fs::create_dir(&more).unwrap();
    write(&more.join("tls.cnf"), format!("[client]\nssl=1\nssl-ca={ca}\n"));
    let file = write(
        &folder.join("my.cnf"),
        format!(
            "[client]\nuser=careful\nport={port}\n[unverified]\nport={port}\nssl-mode=REQUIRED\n!includedir {}\n",
            more.display()
        ),
    );
    let at = |host: &str, query: &str| format!("mysql+pymysql://{host}/glance?read_default_file={file}{query}");
    connect(&at("localhost", "")).await;
    let text = refusal(&at("127.0.0.1", "")).await;
    assert!(text.contains("certificate"), "{text}");
    connect(&at("careful@127.0.0.1", "&read_default_group=unverified")).await;
    refusal(&at("careful@127.0.0.1", "/absent")).await;
}

async fn servers(port: u16) {
    let dead = free_port();
    let db = connect(&format!("mysql+pymysql://careful@127.0.0.1:{dead},localhost:{port}/glance")).await;
    assert!(is_there(&db, &create(&db).await).await);
    let text = refusal(&format!("mysql+pymysql://careful@127.0.0.1:{dead},127.0.0.1:{dead}/glance")).await;
    assert!(text.contains("cannot be reached"), "{text}");
    let own = "init_command=CREATE+TABLE+IF+NOT+EXISTS+marked+(n+INT)&read_timeout=5&connect_timeout=5";
    let own = connect(&format!("mysql+pymysql://careful@localhost:{port}/glance?{own}")).await;
    assert!(is_there(&own, &create(&own).await).await);
}
