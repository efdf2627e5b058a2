use super::*;

fn parse(url: &str) -> PostgresAddress {
    read(url).unwrap_or_else(|error| panic!("{url}: {error}")).address
}

/// Without what the environment of the test says.
fn read(url: &str) -> Result<Parsed<PostgresAddress>, DbError> {
    PostgresAddress::parse_with(&Url::parse(url, "").unwrap(), &|_| None)
}

fn modes(address: &PostgresAddress) -> Vec<String> {
    address.servers[0].ways.iter().map(|way| format!("{:?}", way.get_ssl_mode())).collect()
}

#[test]
fn everything_a_url_can_say() {
    let address = parse(
        "postgresql+psycopg2://u:p@db:5433/glance?sslmode=require&application_name=x&connect_timeout=4\
         &options=-csearch_path%3Dimages%20-c%20work_mem%3D1MB%20--lock-timeout%3D5s&target_session_attrs=read-write",
    );
    let [PostgresServer { ways }] = address.servers.as_slice() else { panic!() };
    let [way] = ways.as_slice() else { panic!() };
    assert_eq!((way.get_host(), way.get_port()), ("db", 5433));
    assert_eq!((way.get_username(), way.get_database(), way.get_application_name()), ("u", Some("glance"), Some("x")));
    assert!(way.get_options().unwrap().ends_with("-c search_path=images -c work_mem=1MB -c lock_timeout=5s"));
    assert_eq!((address.connect_timeout, address.wanted), (Some(Duration::from_secs(4)), SessionKind::ReadWrite));
    assert_eq!(modes(&address), ["Require"]);
    assert!(!address.is_pooled && !address.is_shuffled);
    assert_eq!(parse("postgresql://u@h/n").servers[0].ways[0].get_options(), None);
    let other = parse("postgresql+asyncpg://u@h/n?prepared_statement_cache_size=0&load_balance_hosts=random");
    assert!(other.is_pooled && other.is_shuffled);
}

#[test]
fn several_servers_sockets_and_addresses() {
    for (url, label) in [
        ("postgresql://u@a,b:6/n", "\"n\" on a:6, b:6"),
        ("postgresql://u@/n?host=a,b&port=1,2", "\"n\" on a:1, b:2"),
        ("postgresql://u@/n?host=a:1&host=b:2", "\"n\" on a:1, b:2"),
        ("postgresql://u@h/n?hostaddr=::1", "\"n\" on ::1:5432"),
        ("postgresql:///n?host=/run/pg&port=5555", "\"n\" on /run/pg (port 5555)"),
        ("postgresql://u@h", "\"u\" on h:5432"),
    ] {
        assert_eq!(parse(url).label(), label, "{url}");
    }
    assert_eq!(modes(&parse("postgresql:///n?host=/run/pg&sslmode=require")), ["Disable"]);
}

#[test]
fn modes_of_tls_are_those_of_libpq() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("root.crt");
    std::fs::write(&roots, "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n").unwrap();
    let roots = format!("&sslrootcert={}", roots.display());
    for (mode, without, with) in [
        ("disable", &["Disable"][..], &["Disable"][..]),
        ("allow", &["Disable", "Require"], &["Disable", "VerifyCa"]),
        ("prefer", &["Prefer", "Disable"], &["VerifyCa", "Disable"]),
        ("require", &["Require"], &["VerifyCa"]),
        ("verify-ca", &[], &["VerifyCa"]),
        ("verify-full", &[], &["VerifyFull"]),
    ] {
        let url = format!("postgresql://u@h/n?sslmode={mode}");
        match read(&url) {
            Ok(parsed) => assert_eq!(modes(&parsed.address), without, "{mode}"),
            Err(error) => assert!(without.is_empty(), "{mode}: {error}"),
        }
        assert_eq!(modes(&parse(&format!("{url}{roots}"))), with, "{mode}");
    }
    assert_eq!(modes(&parse("postgresql://u@h/n")), ["Prefer", "Disable"]);
    assert_eq!(modes(&parse("postgresql://u@h/n?requiressl=1")), ["Require"]);
    assert_eq!(modes(&parse("postgresql://u@h/n?sslrootcert=system")), ["VerifyFull"]);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    for query in [
        "sslmode=sometimes",
        "sslmode=verify-full&sslrootcert=/nowhere",
        "sslmode=require&sslrootcert=system",
        "requiressl=1&sslrootcert=system",
        "target_session_attrs=best",
        "load_balance_hosts=fair",
        "options=-B%2010",
        "options=-csearch_path",
        "options=-c%20a;b%3D1",
        "hostaddr=::1&sslmode=verify-full",
        "hostaddr=::1,::2",
        "connect_timeout=x",
        "host=a,b&port=1,2,3",
    ] {
        assert!(read(&format!("postgresql://u@h/n?{query}")).is_err(), "{query}");
    }
}

#[test]
fn kinds_of_sessions() {
    let fits = |kind: SessionKind| {
        [(false, false), (false, true), (true, true)].map(|(standby, fixed)| kind.is(standby, fixed))
    };
    assert_eq!(fits(SessionKind::Any), [true, true, true]);
    assert_eq!(fits(SessionKind::ReadWrite), [true, false, false]);
    assert_eq!(fits(SessionKind::ReadOnly), [false, true, true]);
    assert_eq!(fits(SessionKind::Primary), [true, true, false]);
    assert_eq!(fits(SessionKind::Standby), [false, false, true]);
    assert_eq!(fits(SessionKind::PreferStandby), [false, false, true]);
}
