use std::fs;

use super::*;
use crate::policy::Enforcer;

fn read(text: &str, names_rules: bool) -> Result<Protections, String> {
    Protections::parse(text, names_rules, "p.conf".into()).map_err(|error| error.to_string())
}

fn section(name: &str, who: &str) -> String {
    format!("[{name}]\ncreate = {who}\nread = {who}\nupdate = {who}\ndelete = {who}\n")
}

fn caller(roles: &[&str], service_roles: &[&str]) -> Context {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Context { roles: owned(roles), service_roles: owned(service_roles), ..Context::default() }
}

async fn rules(policy: &str) -> std::sync::Arc<Rules> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    Enforcer::new(&Config::default(), &[folder.path().to_owned()]).unwrap().rules().await
}

async fn may(protections: &Protections, property: &str, operation: PropertyOperation, context: &Context) -> bool {
    let Some(section) = protections.section(property) else { return false };
    protections.allows(section, operation, &*rules("").await, context).await.unwrap()
}

#[tokio::test]
async fn the_first_section_that_is_found_in_the_name_decides() {
    let text = [
        "# upper case and spaces do not count in options\n[^x_.*]\nCREATE: Admin , member\nread = admin,member\nupdate = admin\ndelete =\n",
        &section("x_owner", "@"),
        &section("[0-9]", "!"),
        "[os_glance_mine]\nnothing = here\n",
        &section("os_glance2", "!"),
    ]
    .concat();
    let protections = read(&text, false).unwrap();
    let (admin, member, nobody) = (caller(&["admin"], &[]), caller(&["member"], &[]), caller(&[], &[]));
    for (property, operation, expected) in [
        ("x_owner", PropertyOperation::Create, [true, true, false]),
        ("x_owner", PropertyOperation::Update, [true, false, false]),
        ("x_owner", PropertyOperation::Delete, [false, false, false]),
        ("ax_owner", PropertyOperation::Delete, [true, true, true]),
        ("v7", PropertyOperation::Read, [false, false, false]),
        ("other", PropertyOperation::Read, [false, false, false]),
        ("os_glance_stage_host", PropertyOperation::Update, [true, true, true]),
        ("an_os_glance2", PropertyOperation::Update, [true, true, true]),
    ] {
        for (context, expected) in [&admin, &member, &nobody].into_iter().zip(expected) {
            let found = may(&protections, property, operation, context).await;
            assert_eq!(found, expected, "{property} {operation:?} {:?}", context.roles);
        }
    }
    // A service's roles count as well.
    assert!(may(&protections, "x_owner", PropertyOperation::Update, &caller(&["reader"], &["admin"])).await);
}

#[tokio::test]
async fn permissions_may_be_rules_of_the_policy() {
    let text = "[a]\ncreate = made_up\nread = @\nupdate = !\ndelete = add_image\n[b]\ncreate = nowhere\nread = \
                not_me\nupdate = made_up\ndelete = made_up\n";
    let protections = read(text, true).unwrap();
    let rules = rules("made_up: 'role:creator'\nnot_me: '!'\nadd_image: 'role:creator'").await;
    let system = Context { system_scope: Some("all".to_owned()), ..caller(&["creator"], &[]) };
    let (a, b) = (protections.section("a").unwrap(), protections.section("b").unwrap());
    for (place, operation, expected) in [
        (a, PropertyOperation::Create, [true, false, true]),
        (a, PropertyOperation::Read, [true, true, true]),
        (a, PropertyOperation::Update, [false, false, false]),
        // As a part of another rule, it asks for no scope.
        (a, PropertyOperation::Delete, [true, false, true]),
        // Undefined: the default rule stands in, which allows everyone.
        (b, PropertyOperation::Create, [true, true, true]),
        (b, PropertyOperation::Read, [false, false, false]),
    ] {
        for (context, expected) in
            [&caller(&["creator"], &[]), &caller(&[], &["creator"]), &system].into_iter().zip(expected)
        {
            let found = protections.allows(place, operation, &rules, context).await.unwrap();
            assert_eq!(found, expected, "{operation:?} {context:?}");
        }
    }
}

#[test]
fn the_file_is_read_as_python_reads_it() {
    let text = "; defaults stand for what a section leaves out\n[DEFAULT]\nread = @\nwho = admin\n\n[a]]  tail\ncreate = \
                %(who)s,\n\n   100%%\n    # no part of it\n   member\nupdate: =x\ndelete=\n";
    let sections = file::sections(text).unwrap();
    let [section] = sections.as_slice() else { panic!("{sections:?}") };
    assert_eq!((section.name.as_str(), section.line), ("a]", 6));
    let value = |name: &str| section.value(section.option(name).unwrap()).unwrap();
    assert_eq!(value("create"), "admin,\n\n100%\nmember");
    assert_eq!((value("read"), value("update"), value("delete")), ("@".into(), "=x".into(), String::new()));
}

#[test]
fn a_bad_file_is_refused_with_its_line() {
    let good = section("good", "@");
    let table = [
        ("read = @".to_owned(), false, "1: read = @ stands before the first section"),
        ("[a]\nnonsense".to_owned(), false, "2: neither a section nor an option: nonsense"),
        ("[a]\n= x".to_owned(), false, "2: neither a section nor an option: = x"),
        (format!("{good}{good}"), false, "6: section [good] is there already"),
        ("[a]\nread = @\nRead = !".to_owned(), false, "3: [a] has read already"),
        (format!("{good}[a]\nread = @"), false, "6: [a] does not say who may create the property"),
        (
            section("(?=a)", "@"),
            false,
            "1: malformed property protection rule [(?=a)]: looking ahead or behind cannot be used here",
        ),
        (
            section("a", "@, !"),
            false,
            "2: malformed property protection rule in [a] create=@, !: '@' and '!' are mutually exclusive",
        ),
        (
            section("a", "one,two"),
            true,
            "2: multiple policies 'one,two' not allowed for a given operation ([a] create); policies can be combined in the \
             policy file",
        ),
        (
            section("a", "50%"),
            false,
            "2: [a] create: '%' must be followed by '%' or '(' name ')s', and the name be an option",
        ),
        (
            section("a", "%(create)s"),
            false,
            "2: [a] create: '%' must be followed by '%' or '(' name ')s', and the name be an option",
        ),
    ];
    for (text, names_rules, expected) in table {
        let error = read(&text, names_rules).err();
        assert_eq!(error, Some(format!("{OPTION}: p.conf:{expected}")), "{text}");
    }
    let unbalanced = read(&section("(", "@"), false).err().unwrap();
    assert!(unbalanced.starts_with(&format!("{OPTION}: p.conf:1: malformed property protection rule [(]: ")));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let mut config = Config::default();
    assert!(Protections::load(&config).unwrap().is_none());
    config.default.property_protection_file = Some("nowhere.conf".to_owned());
    let error = Protections::load(&config).unwrap_err().to_string();
    assert_eq!(error, format!("{OPTION}: couldn't find property protection file nowhere.conf"));
    config.default.property_protection_file = Some("/proc/self".to_owned());
    config.search = vec!["/".into()];
    assert!(
        Protections::load(&config)
            .unwrap_err()
            .to_string()
            .starts_with(&format!("{OPTION}: /proc/self cannot be read: "))
    );
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"[x]\ncreate = @\n# \xfc\n").unwrap();
    let mut config = Config { search: vec!["/".into()], ..Config::default() };
    config.default.property_protection_file = file.path().to_str().map(str::to_owned);
    let error = Protections::load(&config).unwrap_err().to_string();
    assert!(error.ends_with("cannot be read: line 3: is not UTF-8 text"), "{error}");
}
