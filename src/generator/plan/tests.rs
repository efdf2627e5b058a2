use super::*;
use crate::generator::sources;

fn planned(conf: Option<&str>) -> Plan {
    let etc = tempfile::tempdir().unwrap();
    std::fs::create_dir(etc.path().join("glance")).unwrap();
    if let Some(text) = conf {
        std::fs::write(etc.path().join("glance/glance-api.conf"), text).unwrap();
    }
    let read = Partial::load(&sources(etc.path().to_path_buf()), &crate::store::kinds());
    let hosts = "192.0.2.7 image.example.org image\n2001:db8::7 image\n".to_owned();
    plan(&read, &Host { cpus: 3, ipv6: true, hosts })
}

fn workers_of(plan: &Plan) -> usize {
    plan.units.iter().filter(|unit| matches!(unit, Unit::Wanted { .. })).count()
}

/// The settings of the drop-in, without its head.
fn socket_of(plan: &Plan) -> Vec<&str> {
    let text = plan.units.iter().find_map(|unit| match unit {
        Unit::DropIn { text, .. } => Some(text.as_str()),
        Unit::Wanted { .. } => None,
    });
    text.map(|text| text.split_once("[Socket]\n").unwrap().1.lines().collect()).unwrap_or_default()
}

fn errors_of(plan: &Plan) -> Vec<&str> {
    plan.remarks.iter().filter(|remark| remark.priority == 3).map(|remark| remark.text.as_str()).collect()
}

#[test]
fn workers_are_counted() {
    for (conf, expected) in [
        ("", 3),
        ("workers = 5", 5),
        ("workers = 1", 1),
        ("workers = 0", 1),
        ("workers = 99999", MOST_WORKERS),
        ("workers = lots", 3),
        ("workers = -1", 3),
        ("workers =", 3),
    ] {
        let plan = planned(Some(&format!("[DEFAULT]\n{conf}\n")));
        assert_eq!(workers_of(&plan), expected, "{conf}");
        assert_eq!(
            errors_of(&plan).is_empty(),
            expected < 9 && !conf.contains("lots") && !conf.contains("-1"),
            "{conf}"
        );
    }
    let plan = planned(Some("[DEFAULT]\nworkers = 2\n"));
    let expected = |number| Unit::Wanted {
        path: format!("glance-api.service.wants/glance-api@{number}.service").into(),
        template: "/usr/lib/systemd/system/glance-api@.service".into(),
    };
    assert_eq!(plan.units, [expected(1), expected(2)]);
}

#[test]
fn the_socket_follows_the_configuration() {
    let cases: [(&str, &[&str]); 13] = [
        ("", &[]),
        ("bind_port = 9393", &["ListenStream=", "ListenStream=9393"]),
        ("bind_host = 127.0.0.1", &["ListenStream=", "ListenStream=127.0.0.1:9292"]),
        ("bind_host = ::1\nbind_port = 80", &["ListenStream=", "ListenStream=[::1]:80"]),
        ("bind_host = 0.0.0.0", &["ListenStream=", "ListenStream=0.0.0.0:9292"]),
        ("bind_host = ::", &["ListenStream=", "ListenStream=[::]:9292"]),
        ("bind_host = 192.0.2.1", &["ListenStream=", "ListenStream=192.0.2.1:9292", "FreeBind=yes"]),
        (
            "bind_host = image",
            &["ListenStream=", "ListenStream=192.0.2.7:9292", "ListenStream=[2001:db8::7]:9292", "FreeBind=yes"],
        ),
        ("backlog = 128\ntcp_keepidle = 60", &["Backlog=128", "KeepAliveTimeSec=60"]),
        ("backlog = 99999999999", &["Backlog=2147483647"]),
        ("bind_port = 99999", &[]),
        (
            "bind_port = 1\n[service]\nlisten_unix = /run/100%/api",
            &[
                "ListenStream=",
                "ListenStream=/run/100%%/api",
                "SocketUser=glance",
                "SocketGroup=glance",
                "SocketMode=0660",
                "RemoveOnStop=yes",
            ],
        ),
        ("[service]\nlisten_unix = api", &["ListenStream="]),
    ];
    for (conf, expected) in cases {
        let plan = planned(Some(&format!("[DEFAULT]\n{conf}\n")));
        assert_eq!(socket_of(&plan), expected, "{conf}");
    }
}

#[test]
fn an_unknown_name_closes_the_socket_and_is_told() {
    let plan = planned(Some("[DEFAULT]\nbind_host = elsewhere\n"));
    assert_eq!(socket_of(&plan), ["ListenStream="]);
    assert!(errors_of(&plan)[0].contains("bind_host = elsewhere"), "{:?}", plan.remarks);
}

#[test]
fn nothing_configured_is_loopback() {
    let plan = planned(None);
    assert_eq!(socket_of(&plan), ["ListenStream=", "ListenStream=127.0.0.1:9292"]);
    let said = &plan.remarks.last().unwrap().text;
    assert_eq!(said, "3 workers from no configuration file, ListenStream=127.0.0.1:9292");
}

#[test]
fn the_result_depends_on_the_files_alone() {
    let conf = "[DEFAULT]\nworkers = 2\nbind_host = image\nnonsense\n";
    let (mut one, mut two) = (planned(Some(conf)), planned(Some(conf)));
    // The directory of each run has another name.
    one.remarks.clear();
    two.remarks.clear();
    for plan in [&mut one, &mut two] {
        for unit in &mut plan.units {
            if let Unit::DropIn { text, .. } = unit {
                *text = text.split_once('\n').unwrap().1.to_owned();
            }
        }
    }
    assert_eq!(one, two);
    assert_eq!(workers_of(&one), 2);
}
