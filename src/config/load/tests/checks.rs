//! How options stand together.

use std::path::Path;

use super::*;
use crate::config::checks::LATER;
use crate::config::option::{Lifecycle, OptionInfo};
use crate::config::sections::TABLES;

#[test]
fn a_file_must_name_the_database() {
    let sandbox = Sandbox::new().file("etc/glance/glance-api.conf", "[DEFAULT]\ndebug = true\n");
    let errors = sandbox.errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("etc/glance/glance-api.conf: [database] connection: is not set"), "{errors:?}");
}

#[test]
fn stores_take_their_own_values_then_the_shared_ones() {
    let sandbox = Sandbox::with(
        "[DEFAULT]\nenabled_backends = Fast:file, slow:rbd\n[glance_store]\ndefault_backend = slow\n\
         filesystem_store_datadir = /unused\n[Fast]\nstore_description = quick\nweight = 5\n\
         filesystem_store_chunk_size = 1\n[backend_defaults]\nfilesystem_store_datadir = /shared/$bind_port\n\
         rbd_store_pool = pool\nfilesystem_store_chunk_size = 2\n[os_glance_tasks_store]\nfilesystem_store_datadir = /t\n",
    );
    let config = sandbox.config();
    assert_eq!(sandbox.warnings(), [] as [&str; 0]);
    let ids: Vec<_> = config.stores.keys().map(String::as_str).collect();
    assert_eq!(ids, ["Fast", "os_glance_staging_store", "os_glance_tasks_store", "slow"]);
    let fast = &config.stores["Fast"];
    assert_eq!((fast.driver.as_str(), fast.weight), ("file", 5));
    assert_eq!(fast.store_description.as_deref(), Some("quick"));
    let options: FileOptions = fast.options.read();
    assert_eq!((options.filesystem_store_datadir.as_str(), options.filesystem_store_chunk_size), ("/shared/9292", 1));
    let origin = |option: &str| sandbox.lines([sandbox.load().unwrap().origin("Fast", option)]);
    assert_eq!(
        (origin("weight"), origin("filesystem_store_datadir")),
        (vec!["main.conf:8".into()], vec!["main.conf:11".into()])
    );
    let slow = &config.stores["slow"];
    assert_eq!((slow.driver.as_str(), slow.options.read::<RbdOptions>().rbd_store_pool.as_str()), ("rbd", "pool"));
    let directory = |id: &str| config.stores[id].options.read::<FileOptions>().filesystem_store_datadir;
    assert_eq!(directory("os_glance_staging_store"), "/var/lib/glance/os_glance_staging_store");
    assert_eq!(directory("os_glance_tasks_store"), "/t");
    assert_eq!(config.stores["os_glance_tasks_store"].options.read::<FileOptions>().filesystem_store_chunk_size, 65536);
}

#[test]
fn a_store_may_be_called_like_another_section() {
    let sandbox = Sandbox::with(
        "[DEFAULT]\nenabled_backends = vault:file, task:file\n[glance_store]\ndefault_backend = vault\n[vault]\n\
         vault_url = http://v\nstore_description = $vault_url$filesystem_store_chunk_size\n\
         filesystem_store_datadir = /v\nfilesystem_store_chunk_size = 3\nbogus = 1\n[cors]\n\
         filesystem_store_datadir = /c\n",
    )
    .variable("OS_TASK__FILESYSTEM_STORE_DATADIR", "/t")
    .variable("OS_CORS__FILESYSTEM_STORE_DATADIR", "/c");
    let config = sandbox.config();
    assert_eq!(config.vault.vault_url, "http://v");
    let directory = |id: &str| config.stores[id].options.read::<FileOptions>().filesystem_store_datadir;
    assert_eq!((directory("vault"), directory("task")), ("/v".to_owned(), "/t".to_owned()));
    assert_eq!(config.stores["vault"].store_description.as_deref(), Some("http://v3"));
    let expected = [
        "environment OS_CORS__FILESYSTEM_STORE_DATADIR: [cors] filesystem_store_datadir is an unknown option, it is \
         ignored",
        "main.conf:10: [vault] bogus is an unknown option, it is ignored",
        "main.conf:12: [cors] filesystem_store_datadir is an unknown option, it is ignored",
    ];
    let unknown: Vec<_> = sandbox.warnings().into_iter().filter(|line| line.contains("unknown")).collect();
    assert_eq!(unknown, expected);
}

#[test]
fn what_cannot_be_a_store_is_refused() {
    let backends = |value: &str, default: &str| {
        let text = format!("[DEFAULT]\nenabled_backends = {value}\n[glance_store]\ndefault_backend = {default}\n");
        Sandbox::with(&text).errors()
    };
    let cases = [
        ("a:file", "", "main.conf:4: [glance_store] default_backend: 'default_backend' config option is not set."),
        ("a:file", "b", "main.conf:4: [glance_store] default_backend: Store for identifier b not found"),
        (
            "os_glance_a:file,b:file",
            "b",
            "main.conf:2: [DEFAULT] enabled_backends: 'os_glance_' prefix should not be used in enabled_backends config \
             option. It is reserved for internal use only.",
        ),
        (
            "a:ftp,b:file",
            "b",
            "main.conf:2: [DEFAULT] enabled_backends: names the store type ftp, which does not exist; there are file, \
             http, rbd, s3, swift, cinder, vmware",
        ),
        (
            "a",
            "a",
            "main.conf:2: [DEFAULT] enabled_backends = a: the value must be NAME:VALUE pairs separated by commas",
        ),
    ];
    for (value, default, expected) in cases {
        let errors = backends(value, default);
        assert_eq!(errors.first().map(String::as_str), Some(expected), "{value}: {errors:#?}");
    }
    let single = Sandbox::with("[glance_store]\nstores = file\ndefault_store = rbd\n").errors();
    assert_eq!(single, ["main.conf:3: [glance_store] default_store: Store for scheme rbd not found"]);
    let unknown = "main.conf:2: [glance_store] default_store = ftp: the value must be one of file, filesystem, http, https, rbd, \
                   s3, swift, cinder, vsphere";
    assert_eq!(Sandbox::with("[glance_store]\ndefault_store = ftp\n").errors(), [unknown]);
    let single = Sandbox::with("[glance_store]\nstores = rbd,glance.store.http.Store\ndefault_store = rbd\n");
    assert!(single.load().is_ok());
    let staging = Sandbox::with("[DEFAULT]\nnode_staging_uri = file://staging\n").warnings();
    let expected =
        "main.conf:2: [DEFAULT] node_staging_uri is not file:// with an absolute path; images cannot be staged";
    assert_eq!(staging, [expected]);
    // That this version has no driver for it is for the stores to say.
    let vmware = Sandbox::with("[DEFAULT]\nenabled_backends = v:vmware\n[glance_store]\ndefault_backend = v\n");
    assert_eq!(vmware.config().stores["v"].driver, "vmware");
}

#[test]
fn options_that_must_not_be_lost_stop_the_start() {
    let words = "When running server in SSL mode, you must specify both a cert_file and key_file option value in your \
                 configuration file";
    let cases = [
        ("cert_file = ROOT/main.conf", format!("main.conf:2: [DEFAULT] cert_file: {words}")),
        ("key_file = ROOT/main.conf", format!("main.conf:2: [DEFAULT] key_file: {words}")),
        (
            "ca_file = ROOT/main.conf",
            "main.conf:2: [DEFAULT] ca_file: demands client certificates, but without cert_file and key_file there is no TLS"
                .to_owned(),
        ),
        (
            "cert_file = /none\nkey_file = ROOT/main.conf",
            "main.conf:2: [DEFAULT] cert_file: Unable to find cert_file : /none (No such file or directory (os error 2))"
                .to_owned(),
        ),
        (
            "config_source = remote",
            "main.conf:2: [DEFAULT] config_source: sources of configuration other than files and the environment are not \
             part of this version; put the options into a file, and remove this one"
                .to_owned(),
        ),
        (
            "user_storage_quota = 5 GB",
            "main.conf:2: [DEFAULT] user_storage_quota: 5 GB is not a size: a number, and B, KB, MB, GB or TB directly \
             behind it, or nothing"
                .to_owned(),
        ),
        (
            "node_staging_uri = http://x",
            "main.conf:2: [DEFAULT] node_staging_uri: must be a file:// URI".to_owned(),
        ),
        (
            "metadata_encryption_key = 0123456789",
            "main.conf:2: [DEFAULT] metadata_encryption_key: a key of AES has 16, 24 or 32 bytes"
                .to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let sandbox = Sandbox::new();
        let root = sandbox.root.path().display().to_string();
        let text = format!("[DEFAULT]\n{}\n[database]\nconnection = sqlite:////db\n", text.replace("ROOT", &root));
        let sandbox = sandbox.file("main.conf", &text).argument("--config-file", "main.conf");
        assert_eq!(sandbox.errors(), [expected]);
    }
    let sandbox = Sandbox::with("[oslo_policy]\npolicy_file = rules.yaml\n");
    assert_eq!(sandbox.errors(), ["main.conf:2: [oslo_policy] policy_file: Couldn't find policy file rules.yaml"]);
    let sandbox = sandbox.file("rules.yaml", "");
    assert_eq!(sandbox.config().find_file("rules.yaml"), Some(sandbox.path("rules.yaml")));
}

#[test]
fn doubtful_combinations_are_warned_of() {
    let sandbox = Sandbox::with(
        "[keystone_authtoken]\ninsecure = true\n[import_filtering_opts]\nallowed_hosts = [a]\ndisallowed_hosts = [b]\n\
         [oslo_messaging_notifications]\ndriver = messagingv2\n[cors]\nmax_age =\n[DEFAULT]\ntcp_keepidle = 40000\n",
    );
    let expected = [
        "main.conf:9: [cors] max_age is empty, its default is used",
        "main.conf:11: [DEFAULT] tcp_keepidle is more than the kernel takes, 32767 is used",
        "main.conf:5: [import_filtering_opts] disallowed_hosts is ignored, because allowed_hosts is not empty",
        "main.conf:2: [keystone_authtoken] insecure leaves certificates unverified: anyone in between can read and change \
         what is sent",
        "main.conf:7: [oslo_messaging_notifications] is accepted, but notifications are not part of this version",
    ];
    assert_eq!(sandbox.warnings(), expected);
}

#[test]
fn tls_that_a_unix_socket_does_not_have_is_warned_of() {
    let sandbox =
        Sandbox::with("[DEFAULT]\ncert_file = /dev/null\nkey_file = /dev/null\n[service]\nlisten_unix = /run/g.sock\n");
    let expected =
        "main.conf:2: [DEFAULT] cert_file has no effect on the Unix socket that [service] listen_unix asks for";
    assert_eq!(sandbox.warnings(), [expected]);
}

#[test]
fn what_becomes_of_keys_is_told_beforehand() {
    let sandbox = Sandbox::with("[key_manager]\nbackend = vault\n[barbican]\nverify_ssl = false\ncafile = /ca\n");
    let expected = [
        "main.conf:5: [barbican] cafile has no effect: verify_ssl and verify_ssl_path alone say how Barbican is spoken to, as \
         upstream has it",
        "main.conf:2: [key_manager] backend vault is not part of this version: encryption keys stay when their images are \
         deleted",
        "main.conf:4: [barbican] verify_ssl leaves certificates unverified: anyone in between can read and change what is sent",
    ];
    assert_eq!(sandbox.warnings(), expected);
    let class = "[DEFAULT]\ndebug = false\n[key_manager]\napi_class = castellan.key_manager.barbican_key_manager.BarbicanKeyManager\n\
                 [barbican]\nbarbican_api_version = v1\n";
    assert!(Sandbox::with(class).config().key_manager.is_barbican());
    let sandbox = Sandbox::with("[barbican]\nbarbican_api_version = v2\n");
    let expected = "main.conf:2: [barbican] barbican_api_version: v2 is not spoken; there is v1 of Barbican's API";
    assert_eq!(sandbox.errors(), [expected]);
}

/// A file may rely on it, so that nobody should have to find out.
#[test]
fn an_option_without_effect_says_so() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/config") {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = std::fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]\nmod tests").next().unwrap());
            }
        }
    }
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    // What is judged, or announced, with the configuration itself.
    text.push_str(include_str!("../../checks.rs"));
    text.push_str(include_str!("../../load.rs"));
    let words: std::collections::HashSet<_> =
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let silent: Vec<_> = TABLES
        .iter()
        .filter(|(section, _)| !LATER.iter().any(|(later, _)| later == section))
        .flat_map(|(section, options)| options.iter().map(move |info| (section, info)))
        .filter(|(_, info)| info.rules.tier < 3 && info.rules.idle.is_none() && !words.contains(info.name))
        .map(|(section, info)| format!("[{section}] {}", info.name))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Words in the names of options that say where or how safely one connects.
const CONNECTING: [&str; 31] = [
    "address",
    "auth",
    "ca",
    "cacert",
    "cafile",
    "cert",
    "certfile",
    "certificates",
    "cipher",
    "ciphers",
    "endpoint",
    "host",
    "hosts",
    "identity",
    "insecure",
    "interface",
    "interfaces",
    "key",
    "keyfile",
    "password",
    "proxy",
    "region",
    "sasl",
    "secret",
    "security",
    "server",
    "servers",
    "ssl",
    "tls",
    "url",
    "verify",
];

/// Whoever is connected to is so as the options say. Those that have no effect are about programs and services that nobody talks to.
#[test]
fn nothing_that_says_where_or_how_safely_one_connects_is_dropped() {
    let is_connecting = |name: &str| name.split('_').any(|word| CONNECTING.contains(&word));
    let is_dropped = |info: &OptionInfo| info.rules.standing != Lifecycle::Removed && info.is_without_effect();
    // The session options of Barbican's sections are nobody's either: upstream has others for what they are about.
    let nobody = ["barbican", "barbican_service_user", "key_manager", "profiler", "vault"];
    let is_of_nobody = |section: &str, name: &str| {
        LATER.iter().any(|(later, _)| *later == section)
            || nobody.contains(&section)
            || (section == "keystone_authtoken" && name.starts_with("memcache"))
    };
    let mut dropped: Vec<_> = TABLES
        .iter()
        .flat_map(|(section, options)| options.iter().map(move |info| (*section, info)))
        .filter(|(section, info)| is_connecting(info.name) && is_dropped(info) && !is_of_nobody(section, info.name))
        .map(|(section, info)| format!("[{section}] {}", info.name))
        .collect();
    dropped.sort_unstable();
    // A debugger of Python's, and notifications.
    assert_eq!(dropped, ["[DEFAULT] pydev_worker_debug_host", "[DEFAULT] transport_url"]);
}

#[test]
fn what_a_driver_has_declared_is_known_where_it_may_stand() {
    let sandbox = Sandbox::with(
        "[DEFAULT]\nenabled_backends = fast:file\nlibrary_folder = /locks\n[glance_store]\ndefault_backend = fast\n\
         rbd_user_of_old = glance\n[fast]\ns3_store_secret_key = hunter2\nstores = file\nlibrary_folder = /x\n[library]\n\
         rbd_store_pool = p\n",
    );
    let config = sandbox.config();
    assert_eq!(config.driver_options.read::<RbdOptions>().rbd_store_user.as_deref(), Some("glance"));
    assert_eq!(config.driver_sections["library"].text("library_folder").as_deref(), Some("/locks"));
    let expected = [
        "main.conf:9: [fast] stores is an unknown option, it is ignored",
        "main.conf:10: [fast] library_folder is an unknown option, it is ignored",
        "main.conf:12: [library] rbd_store_pool is an unknown option, it is ignored",
        "main.conf:8: [fast] s3_store_secret_key has no effect yet: stores of type s3 are not part of this version",
    ];
    let warnings = sandbox.warnings();
    for line in expected {
        assert_eq!(warnings.iter().filter(|words| *words == line).count(), 1, "{line}: {warnings:#?}");
    }
    let bad = Sandbox::with("[glance_store]\nfilesystem_store_chunk_size = 0\n").errors();
    let words =
        "main.conf:2: [glance_store] filesystem_store_chunk_size = 0: the value must be an integer, 1 or greater";
    assert_eq!(bad, [words]);
    let empty = Sandbox::with("[glance_store]\nfilesystem_store_chunk_size =\n");
    assert_eq!(empty.file_options().filesystem_store_chunk_size, 65536);
    assert_eq!(
        empty.warnings(),
        ["main.conf:2: [glance_store] filesystem_store_chunk_size is empty, its default is used"]
    );
}

#[test]
fn ways_to_keystone_that_cannot_be_kept_end_the_start() {
    let refused = |section: &str, line: &str| {
        let text = format!("[DEFAULT]\nuse_keystone_limits = true\n[{section}]\n{line}\n");
        let sandbox = Sandbox::with(&text);
        let errors = sandbox.load().map_or_else(|error| sandbox.lines(error.problems()), |_| Vec::new());
        let option = line.split(' ').next().unwrap();
        assert!(errors.iter().all(|error| error.contains(&format!("[{section}] {option}"))), "{errors:?}");
        errors.len() == 1
    };
    for (section, line) in [
        ("keystone_authtoken", "auth_version = v2.0"),
        ("oslo_limit", "tls_min_version = 1.3"),
        ("oslo_limit", "tls_ciphers = HIGH"),
        ("oslo_limit", "service_type = identity2"),
        ("oslo_limit", "service_name = keystone2"),
        ("oslo_limit", "version = 2.0"),
        ("oslo_limit", "min_version = 4"),
        ("oslo_limit", "max_version = x"),
    ] {
        assert!(refused(section, line), "{section} {line}");
    }
    for (section, line) in [
        ("keystone_authtoken", "auth_version = v3.0"),
        ("oslo_limit", "tls_min_version = 1.2"),
        ("oslo_limit", "service_type = identity"),
        ("oslo_limit", "version = 3"),
        ("oslo_limit", "max_version = latest"),
        ("oslo_limit", "service_name = keystone2\nendpoint_override = http://keystone/v3"),
    ] {
        assert!(!refused(section, line), "{section} {line}");
    }
    assert!(Sandbox::with("[oslo_limit]\ntls_ciphers = HIGH\n").load().is_ok(), "nobody is asked");
}

#[test]
fn what_has_no_effect_is_named_once() {
    let sandbox = Sandbox::with("[DEFAULT]\nscrub_time = 5\n[oslo_concurrency]\nlock_path = /run/glance\n");
    let said = sandbox.warnings();
    for line in [
        "main.conf:2: [DEFAULT] scrub_time has no effect yet: scrubbers are not part of this version",
        "main.conf:4: [oslo_concurrency] lock_path has no effect: this service takes no lock files",
    ] {
        assert_eq!(said.iter().filter(|words| *words == line).count(), 1, "{line}: {said:#?}");
    }
}
