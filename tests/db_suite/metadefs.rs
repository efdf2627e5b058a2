//! Metadata definitions.

use tokio::task::JoinSet;

use super::super::glance_api::db::metadefs::{
    self, Item, ItemKind, NamespaceColumn, NamespaceFields, NamespaceQuery, NamespaceRecord, NewAssociation, NewItem,
    NewNamespace, TagColumn, TagQuery,
};
use super::super::glance_api::db::{Db, DbError};
use super::super::glance_api::metadef::listing::{Direction, Viewer};
use super::{ignores_case, uuid};

pub(super) async fn run(db: &Db) {
    a_whole_namespace(db).await;
    all_or_nothing(db).await;
    single_things(db).await;
    tags_are_replaced_or_added(db).await;
    pages(db).await;
    rivals_share_a_resource_type(db).await;
    names_that_may_be_the_same(db).await;
}

fn item(name: &str, schema: Option<&str>) -> NewItem {
    NewItem { json_schema: schema.map(str::to_owned), ..NewItem::named(name) }
}

fn association(name: &str) -> NewAssociation {
    NewAssociation { name: name.to_owned(), prefix: Some("p:".to_owned()), properties_target: None }
}

fn fields(name: &str, owner: &str) -> NamespaceFields {
    NamespaceFields {
        namespace: name.to_owned(),
        owner: Some(owner.to_owned()),
        visibility: Some("private".to_owned()),
        protected: Some(false),
        ..NamespaceFields::default()
    }
}

async fn make(db: &Db, fields: NamespaceFields) -> NamespaceRecord {
    let name = fields.namespace.clone();
    metadefs::create(db, NewNamespace { fields, ..NewNamespace::default() }).await.unwrap();
    metadefs::get(db, &name).await.unwrap().unwrap()
}

fn names(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.name.as_str()).collect()
}

async fn a_whole_namespace(db: &Db) {
    let (name, kind, other) = (uuid(), format!("type-{}", uuid()), format!("type-{}", uuid()));
    let given = NamespaceFields {
        display_name: Some("näme ' \" \\ % 名".to_owned()),
        description: Some(String::new()),
        visibility: Some("public".to_owned()),
        protected: Some(true),
        ..fields(&name, "owner-1")
    };
    let schema = r#"{"a": {"type": "string"}}"#;
    let object =
        NewItem { description: Some("d".to_owned()), required: Some("a,b".to_owned()), ..item("obj", Some(schema)) };
    let new = NewNamespace {
        fields: given.clone(),
        associations: vec![association(&kind), association(&other)],
        objects: vec![object, item("an-object", Some("{}"))],
        tags: vec![NewItem::named("one"), NewItem::named("two")],
        properties: vec![item("z", Some(schema)), item("b", Some("{}"))],
    };
    metadefs::create(db, new.clone()).await.unwrap();
    let again = metadefs::create(db, new).await;
    assert!(matches!(&again, Err(DbError::Duplicate { what: "namespace", key }) if *key == name), "{again:?}");
    let found = metadefs::get(db, &name).await.unwrap().unwrap();
    assert_eq!((&found.fields, found.updated_at), (&given, Some(found.created_at)));

    let contents = metadefs::contents(db, found.id).await.unwrap();
    assert_eq!(names(&contents.objects), ["an-object", "obj"]);
    assert_eq!(names(&contents.properties), ["b", "z"]);
    assert_eq!(names(&contents.tags), ["two", "one"]);
    let object = &contents.objects[1];
    let texts = [&object.description, &object.required, &object.json_schema].map(|text| text.as_deref().unwrap());
    assert_eq!(texts, ["d", "a,b", schema]);
    let kinds: Vec<&str> = contents.associations.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(kinds, [&kind, &other]);
    assert_eq!(contents.associations[0].prefix.as_deref(), Some("p:"));
    assert_eq!(metadefs::objects(db, found.id).await.unwrap(), contents.objects);
    assert_eq!(metadefs::properties(db, found.id).await.unwrap(), contents.properties);
    assert_eq!(metadefs::associations(db, found.id).await.unwrap(), contents.associations);

    let changed = fields(&uuid(), "owner-2");
    metadefs::update(db, found.id, changed.clone()).await.unwrap();
    let found = metadefs::get(db, &changed.namespace).await.unwrap().unwrap();
    assert_eq!(found.fields, changed);
    let taken = make(db, fields(&uuid(), "o")).await.fields;
    let refused = metadefs::update(db, found.id, taken).await;
    assert!(matches!(refused, Err(DbError::Duplicate { what: "namespace", .. })), "{refused:?}");

    metadefs::delete(db, found.id).await.unwrap();
    assert_eq!(metadefs::get(db, &changed.namespace).await.unwrap(), None);
    assert_eq!(metadefs::contents(db, found.id).await.unwrap(), metadefs::Contents::default());
    for gone in [
        metadefs::delete(db, found.id).await,
        metadefs::update(db, found.id, changed).await,
        metadefs::add_item(db, ItemKind::Tag, found.id, NewItem::named("late")).await,
        metadefs::associate(db, found.id, association(&kind)).await,
    ] {
        assert!(matches!(gone, Err(DbError::NotFound { what: "namespace", .. })), "{gone:?}");
    }
    let known = metadefs::resource_types(db).await.unwrap();
    assert!(known.iter().any(|one| one.name == kind), "resource types stay");
}

async fn all_or_nothing(db: &Db) {
    let twice = || vec![item("x", Some("{}")), item("y", Some("{}")), item("x", Some("{}"))];
    let kind = uuid();
    let with = |change: fn(&mut NewNamespace, Vec<NewItem>)| {
        let mut new = NewNamespace { fields: fields(&uuid(), "o"), ..NewNamespace::default() };
        change(&mut new, twice());
        new
    };
    let mut associated = with(|_, _| {});
    associated.associations = vec![association(&kind), association(&kind)];
    for (what, new) in [
        ("object", with(|new, items| new.objects = items)),
        ("property", with(|new, items| new.properties = items)),
        ("tag", with(|new, items| new.tags = items)),
        ("association", associated),
    ] {
        let name = new.fields.namespace.clone();
        match metadefs::create(db, new).await {
            Err(DbError::Duplicate { what: told, key }) => assert!(told == what && (key == "x" || key == kind)),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(metadefs::get(db, &name).await.unwrap(), None, "{what}");
    }
    let nobodys = NewNamespace { fields: NamespaceFields { owner: None, ..fields(&uuid(), "") }, ..Default::default() };
    let refused = metadefs::create(db, nobodys).await;
    assert!(matches!(refused, Err(DbError::Rejected(_))), "{refused:?}");
}

async fn single_things(db: &Db) {
    let namespace = make(db, fields(&uuid(), "o")).await.id;
    for kind in [ItemKind::Object, ItemKind::Property, ItemKind::Tag] {
        let schema = (kind != ItemKind::Tag).then_some("{}");
        let find = |name: &'static str| metadefs::find_item(db, kind, namespace, name);
        for name in ["one", "two"] {
            metadefs::add_item(db, kind, namespace, item(name, schema)).await.unwrap();
        }
        let again = metadefs::add_item(db, kind, namespace, item("one", schema)).await;
        assert!(matches!(&again, Err(DbError::Duplicate { key, .. }) if key == "one"), "{again:?}");
        let one = find("one").await.unwrap().unwrap();
        let other_case = find("ONE").await.unwrap();
        assert_eq!(other_case.is_some(), ignores_case(db), "by the collation of the database");
        let taken = metadefs::update_item(db, kind, one.id, item("two", schema)).await;
        assert!(matches!(&taken, Err(DbError::Duplicate { key, .. }) if key == "two"), "{taken:?}");
        metadefs::update_item(db, kind, one.id, item("three", schema)).await.unwrap();
        let three = find("three").await.unwrap().unwrap();
        assert_eq!((three.id, three.created_at, find("one").await.unwrap()), (one.id, one.created_at, None));
        metadefs::remove_item(db, kind, one.id).await.unwrap();
        for gone in [
            metadefs::remove_item(db, kind, one.id).await,
            metadefs::update_item(db, kind, one.id, item("four", schema)).await,
        ] {
            assert!(matches!(gone, Err(DbError::NotFound { .. })), "{gone:?}");
        }
        metadefs::clear(db, kind, namespace).await.unwrap();
        assert_eq!(find("two").await.unwrap(), None);
    }
    let kind = uuid();
    metadefs::associate(db, namespace, association(&kind)).await.unwrap();
    let again = metadefs::associate(db, namespace, association(&kind)).await;
    assert!(matches!(&again, Err(DbError::Duplicate { what: "association", key }) if *key == kind), "{again:?}");
    let id = metadefs::associations(db, namespace).await.unwrap()[0].resource_type_id;
    metadefs::dissociate(db, namespace, id).await.unwrap();
    assert!(matches!(metadefs::dissociate(db, namespace, id).await, Err(DbError::NotFound { .. })));
}

async fn tags_are_replaced_or_added(db: &Db) {
    let namespace = make(db, fields(&uuid(), "o")).await.id;
    let tags = |names: &[&str]| names.iter().map(|name| NewItem::named(*name)).collect::<Vec<_>>();
    let query =
        TagQuery { namespace, marker: None, sort: TagColumn::Name, direction: Direction::Ascending, limit: None };
    let add = |names, keeps_others| metadefs::add_tags(db, namespace, tags(names), keeps_others);
    let of = || metadefs::tags(db, query.clone());
    add(&["a", "b"], false).await.unwrap();
    add(&["c", "d"], true).await.unwrap();
    let all = of().await.unwrap();
    assert_eq!(names(&all), ["a", "b", "c", "d"]);
    let page = TagQuery { marker: Some(all[1].clone()), limit: Some(1), ..query.clone() };
    assert_eq!(names(&metadefs::tags(db, page).await.unwrap()), ["c"]);
    for (names, keeps_others, culprit) in [(&["e", "c", "a"][..], true, "c"), (&["x", "y", "y"], false, "y")] {
        let refused = add(names, keeps_others).await;
        assert!(matches!(&refused, Err(DbError::Duplicate { what: "tag", key }) if key == culprit), "{refused:?}");
    }
    assert_eq!(of().await.unwrap(), all, "nothing has changed");
    let many: Vec<String> = (0..1200).map(|number| format!("t{number:04}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    add(&many, false).await.unwrap();
    assert_eq!(names(&of().await.unwrap()), many);
}

async fn pages(db: &Db) {
    let (owner, kind) = (uuid(), uuid());
    for (name, display_name) in [("a", Some("x")), ("b", None), ("c", Some("x")), ("d", None), ("e", Some("y"))] {
        let fields = NamespaceFields {
            display_name: display_name.map(str::to_owned),
            protected: (name != "c").then_some(name == "a"),
            ..fields(&format!("{name}-{owner}"), &owner)
        };
        let associations = if name < "c" { vec![association(&kind)] } else { Vec::new() };
        metadefs::create(db, NewNamespace { fields, associations, ..NewNamespace::default() }).await.unwrap();
    }
    let query = NamespaceQuery {
        viewer: Viewer { is_admin: false, project: Some(owner.clone()) },
        visibility: Some("private".to_owned()),
        resource_types: None,
        marker: None,
        sort: NamespaceColumn::Namespace,
        direction: Direction::Ascending,
        limit: 100,
    };
    let whole = metadefs::list(db, query.clone()).await.unwrap();
    let letters = |found: &[(NamespaceRecord, Vec<metadefs::Association>)]| -> String {
        found.iter().map(|(namespace, _)| namespace.fields.namespace.chars().next().unwrap()).collect()
    };
    assert_eq!(letters(&whole), "abcde");
    assert_eq!(whole.iter().map(|(_, associations)| associations.len()).collect::<Vec<_>>(), [1, 1, 0, 0, 0]);
    let stranger = NamespaceQuery { viewer: Viewer { project: Some(uuid()), is_admin: false }, ..query.clone() };
    assert_eq!(metadefs::list(db, stranger).await.unwrap().len(), 0);
    let typed = NamespaceQuery { resource_types: Some(vec![uuid(), kind, uuid()]), ..query.clone() };
    assert_eq!(letters(&metadefs::list(db, typed).await.unwrap()), "ab");

    use NamespaceColumn as By;
    // Whatever the order, and wherever NULL is in it, pages of two have each row once.
    for sort in [By::Namespace, By::DisplayName, By::Protected, By::Description, By::CreatedAt, By::UpdatedAt, By::Id] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let whole = NamespaceQuery { sort, direction, ..query.clone() };
            let whole = letters(&metadefs::list(db, whole).await.unwrap());
            let (mut paged, mut marker) = (String::new(), None);
            for _ in 0..4 {
                let page = NamespaceQuery { sort, direction, limit: 2, marker, ..query.clone() };
                let found = metadefs::list(db, page).await.unwrap();
                paged += &letters(&found);
                marker = match found.last() {
                    Some((last, _)) => Some(last.clone()),
                    None => break,
                };
            }
            assert_eq!(paged, whole, "{sort:?} {direction:?}");
        }
    }
}

/// MySQL holds `é` and `e`, and a name with a blank at its end, for the same. Whoever names both names one resource type.
async fn names_that_may_be_the_same(db: &Db) {
    let kind = uuid();
    let plain = make(db, fields(&uuid(), "o")).await.id;
    metadefs::associate(db, plain, association(&format!("{kind} e"))).await.unwrap();
    for name in [format!("{kind} \u{e9}"), format!("{kind} e "), format!("{kind} E")] {
        let again = metadefs::associate(db, plain, association(&name)).await;
        assert!(matches!(again, Ok(()) | Err(DbError::Duplicate { .. })), "{name:?}: {again:?}");
        let other = make(db, fields(&uuid(), "o")).await.id;
        metadefs::associate(db, other, association(&name)).await.unwrap();
    }
    // Neither is known yet.
    let both = [format!("{kind} \u{f6}"), format!("{kind} o")].map(|name| association(&name)).to_vec();
    let fields = fields(&uuid(), "o");
    let new = NewNamespace { fields, associations: both, ..NewNamespace::default() };
    let made = metadefs::create(db, new).await;
    assert!(matches!(made, Ok(_) | Err(DbError::Duplicate { .. })), "{made:?}");
}

async fn rivals_share_a_resource_type(db: &Db) {
    let kind = uuid();
    let mut rivals = JoinSet::new();
    for _ in 0..6 {
        let namespace = make(db, fields(&uuid(), "o")).await.id;
        let (db, new) = (db.clone(), association(&kind));
        rivals.spawn(async move { metadefs::associate(&db, namespace, new).await });
    }
    for done in rivals.join_all().await {
        done.unwrap();
    }
    let known = metadefs::resource_types(db).await.unwrap();
    assert_eq!(known.iter().filter(|one| one.name == kind).count(), 1);
}
