//! Which files are read, and what goes over what.

use super::*;

#[test]
fn later_files_win_then_the_environment_then_the_command_line() {
    let sandbox = Sandbox::with("[DEFAULT]\nbacklog = 1\ndebug = off\nbind_port = 1\ntcp_keepidle = 1\n")
        .file("d/20.conf", "[DEFAULT]\ndebug = yes\nbind_port = 3\n")
        .file("d/10.conf", "[DEFAULT]\ndebug = no\nbind_port = 2\n")
        .file("d/ignored.txt", "[DEFAULT]\nbind_port = 4\n")
        .argument("--config-dir", "d")
        .variable("OS_DEFAULT__BACKLOG", "7")
        .variable("OS_DEFAULT__DEBUG", "true")
        .flag("--nodebug");
    let loaded = sandbox.load().unwrap();
    let default = &loaded.config.default;
    assert_eq!((default.backlog, default.bind_port, default.tcp_keepidle, default.debug), (7, 3, 1, false));
    let origins = ["tcp_keepidle", "bind_port", "backlog", "debug", "workers"];
    let origins = sandbox.lines(origins.map(|option| loaded.origin("DEFAULT", option)));
    let expected = ["main.conf:5", "d/20.conf:3", "environment OS_DEFAULT__BACKLOG", "command line", "default"];
    assert_eq!(origins, expected);
}

#[test]
fn a_file_after_a_directory_wins() {
    let mut sandbox = Sandbox::with("[DEFAULT]\nbacklog = 1\n").file("d/1.conf", "[DEFAULT]\nbacklog = 2\n");
    sandbox = sandbox.argument("--config-dir", "d");
    assert_eq!(sandbox.config().default.backlog, 2);
    sandbox.arguments.reverse();
    assert_eq!(sandbox.config().default.backlog, 1);
}

#[test]
fn the_usual_places_are_searched_in_order() {
    let conf = |backlog: u8| format!("[DEFAULT]\nbacklog = {backlog}\n[database]\nconnection = sqlite:////db\n");
    let sandbox = Sandbox::new().file("etc/glance-api.conf", &conf(1));
    assert_eq!(sandbox.config().default.backlog, 1);
    let sandbox = sandbox.file("etc/glance/glance-api.conf", &conf(2));
    assert_eq!(sandbox.config().default.backlog, 2);
    let sandbox = sandbox.file("home/glance-api.conf", &conf(3)).file("home/.glance/glance-api.conf", &conf(4));
    assert_eq!(sandbox.config().default.backlog, 4);
    // Directories go over files, and the import file goes under both.
    let sandbox = sandbox
        .file("etc/glance/glance-api.conf.d/1.conf", "[DEFAULT]\nbacklog = 5\n")
        .file("etc/glance/glance-image-import.conf", "[DEFAULT]\nbacklog = 6\nworkers = 6\n");
    let config = sandbox.config();
    assert_eq!((config.default.backlog, config.default.workers), (5, Some(6)));
    // A file that is given leaves the usual files out, not the directories.
    let sandbox = sandbox.file("own.conf", &conf(7)).argument("--config-file", "own.conf");
    let config = sandbox.config();
    assert_eq!((config.default.backlog, config.default.workers), (7, None));
    assert_eq!(
        sandbox.lines(config.files.iter().map(|f| f.display())),
        ["etc/glance/glance-api.conf.d/1.conf", "own.conf"]
    );
}

#[test]
fn the_tool_reads_the_files_of_the_service_then_its_own() {
    let sandbox = Sandbox::new()
        .file("etc/glance/glance-api.conf", "[DEFAULT]\nbacklog = 1\n[database]\nconnection = sqlite:////db\n")
        .file("etc/glance/glance-image-import.conf", "[DEFAULT]\nbacklog = 2\n")
        .file("etc/glance/glance-manage.conf", "[DEFAULT]\nbind_port = 3\n")
        .file("etc/glance/glance-manage.conf.d/1.conf", "[DEFAULT]\ntcp_keepidle = 4\n")
        .file("etc/glance/glance-cache.conf", "[DEFAULT]\ntcp_keepidle = 5\n")
        .variable("OS_GLANCE_CONFIG_DIR", "ROOT/elsewhere");
    let config = |program| {
        let arguments = Arguments { program, ..Arguments::default() };
        let sources = Sources { arguments, environment: sandbox.environment.clone(), etc: sandbox.path("etc") };
        Config::load(&sources, &kinds()).unwrap().config.default
    };
    let manage = config(Program::Manage);
    assert_eq!((manage.backlog, manage.bind_port, manage.tcp_keepidle), (1, 3, 4));
    let cache = config(Program::Cache);
    assert_eq!((cache.backlog, cache.bind_port, cache.tcp_keepidle), (1, 9292, 5));
}

#[test]
fn the_directory_of_upstreams_wsgi_application_is_honoured() {
    let sandbox = Sandbox::new()
        .file("etc/glance/glance-api.conf", "[DEFAULT]\nbacklog = 1\n")
        .file("g/glance-api.conf", "[DEFAULT]\nbacklog = 2\n[database]\nconnection = sqlite:////db\n")
        .file("g/glance-image-import.conf", "[image_import_opts]\nmax_parallel_stores = 2\n")
        .variable("OS_GLANCE_CONFIG_DIR", "ROOT/g");
    let config = sandbox.config();
    assert_eq!((config.default.backlog, config.image_import_opts.max_parallel_stores), (2, 2));
    std::fs::remove_file(sandbox.path("g/glance-api.conf")).unwrap();
    assert_eq!(sandbox.errors(), ["g/glance-api.conf: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn without_any_file_the_embedded_default_is_in_force() {
    let sandbox = Sandbox::new();
    let config = sandbox.config();
    let state = sandbox.path("home/.local/state/glance-api");
    let under = |name: &str| state.join(name).display().to_string();
    assert_eq!(config.embedded.as_deref(), Some(state.as_path()));
    assert_eq!((config.default.bind_host.as_str(), config.default.bind_port), ("127.0.0.1", 9292));
    assert_eq!(config.database.connection.as_ref().unwrap().expose(), format!("sqlite:///{}", under("glance.db")));
    assert_eq!(sandbox.file_options().filesystem_store_datadir, under("images"));
    assert_eq!(config.default.node_staging_uri, format!("file://{}", under("os_glance_staging_store")));
    assert_eq!(config.task.work_dir, Some(under("os_glance_tasks_store")));
    assert_eq!(config.service.state_directory, Some(state.display().to_string()));
    assert_eq!(config.paste_deploy.flavor, None);
    assert!(config.stores.is_empty());
}

#[test]
fn the_state_directory_is_the_services_then_the_users() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "/root/home/.local/state/glance-api"),
        (&[("XDG_STATE_HOME", "/x")], "/x/glance-api"),
        (&[("XDG_STATE_HOME", "relative")], "/root/home/.local/state/glance-api"),
        (&[("XDG_STATE_HOME", "/x"), ("STATE_DIRECTORY", "/var/lib/a$b:/var/lib/c")], "/var/lib/a$b"),
        (&[("STATE_DIRECTORY", "/s"), ("OS_SERVICE__STATE_DIRECTORY", "/own")], "/own"),
    ];
    for (variables, expected) in cases {
        let mut sandbox = Sandbox::new();
        for (name, value) in variables {
            sandbox = sandbox.variable(name, value);
        }
        let config = sandbox.config();
        let state = config.embedded.unwrap().display().to_string();
        assert_eq!(state.replace(&sandbox.root.path().display().to_string(), "/root"), expected);
        assert!(sandbox.file_options().filesystem_store_datadir.starts_with(&state));
    }
    let mut sandbox = Sandbox::new();
    sandbox.environment.clear();
    assert!(sandbox.errors()[0].starts_with("no configuration file was found"));
}

#[test]
fn environment_and_arguments_go_over_the_embedded_default() {
    let config = Sandbox::new().variable("OS_DEFAULT__BIND_PORT", "9999").flag("-d").config();
    assert!(config.embedded.is_some() && config.default.debug);
    assert_eq!(config.default.bind_port, 9999);
}

#[test]
fn bad_files_are_all_named() {
    let sandbox = Sandbox::new()
        .file("a.conf", "[DEFAULT]\npassword is hunter2\n")
        .file("b.conf", "key = v\n")
        .argument("--config-file", "a.conf")
        .argument("--config-file", "b.conf")
        .argument("--config-file", "c.conf");
    let expected = [
        "a.conf:2: No ':' or '=' found in assignment",
        "b.conf:1: Section must be started before assignment",
        "c.conf: cannot be read: No such file or directory (os error 2)",
    ];
    assert_eq!(sandbox.errors(), expected);
    let sandbox = Sandbox::new().argument("--config-dir", "nowhere");
    assert_eq!(sandbox.errors(), ["nowhere: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn a_file_that_is_no_text_names_its_line() {
    let sandbox = Sandbox::with("");
    std::fs::write(sandbox.path("main.conf"), b"[DEFAULT]\n# M\xfcnchen\ndebug = true\n").unwrap();
    assert_eq!(sandbox.errors(), ["main.conf:2: is not UTF-8 text"]);
}

#[test]
fn an_option_of_several_values_comes_from_several_places() {
    let sandbox = Sandbox::with("[DEFAULT]\n[oslo_policy]\npolicy_dirs = a\npolicy_dirs = b\n");
    let origin = sandbox.load().unwrap().origin("oslo_policy", "policy_dirs").to_string();
    let files: Vec<_> = origin.split(", ").map(|one| one.rsplit('/').next().unwrap()).collect();
    assert_eq!(files, ["main.conf:3", "main.conf:4"]);
}

#[test]
fn the_paste_file_lies_beside_the_configuration_or_is_named() {
    let sandbox = Sandbox::with("[paste_deploy]\nflavor = keystone\n");
    assert_eq!(sandbox.config().paste_deploy.config_file, None);
    let sandbox = sandbox.file("main-paste.ini", "");
    let loaded = sandbox.load().unwrap();
    let expected = sandbox.path("main-paste.ini").display().to_string();
    assert_eq!(loaded.config.paste_deploy.config_file, Some(expected));
    assert_eq!(loaded.origin("paste_deploy", "config_file").to_string(), "found in the file system");

    let named = Sandbox::with("[paste_deploy]\nconfig_file = /x/p.ini\nflavor = own\n").config();
    assert_eq!(named.paste_deploy.config_file.as_deref(), Some("/x/p.ini"));
    let expected = "main.conf:2: [paste_deploy] flavor: there is no pipeline magic; there are caching, cachemanagement, \
                    keystone, keystone+caching, keystone+cachemanagement, and an empty one";
    assert_eq!(Sandbox::with("[paste_deploy]\nflavor = magic\n").errors(), [expected]);
}
