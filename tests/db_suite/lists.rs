//! Lists of images, compared with what upstream's rules say row by row.

use time::Duration;
use time::macros::datetime;

use super::super::glance_api::db::images::list::{
    Column, Comparison, Condition, Direction, ListQuery, MOST_FILTERS, MOST_VALUES, Viewer, VisibilityCondition,
};
use super::super::glance_api::db::model::{ImageRecord, NewImage};
use super::super::glance_api::db::{Db, DbError, images, members};
use super::{create, location, pairs, texts, uuid};

pub(super) async fn run(db: &Db) {
    who_sees_what(db).await;
    filters(db).await;
    pages_join_up(db).await;
    markers(db).await;
    children_come_along(db).await;
    many_filters(db).await;
    many_values(db).await;
    texts_beside_odd_conditions(db).await;
}

/// Texts that a statement could take for a part of itself, in lists whose statements are made for one use.
async fn texts_beside_odd_conditions(db: &Db) {
    let owner = uuid();
    let viewers = [true, false].map(|is_admin| Viewer { is_admin, project: Some(owner.clone()) });
    let odd = [
        Condition::AtLeast(Column::Size, 1),
        Condition::Equal(Column::Size, "1".to_owned()),
        Condition::Time(Column::CreatedAt, Comparison::Greater, datetime!(2000-01-01 00:00:00)),
        Condition::In(Column::Owner, vec![owner.clone(); 41]),
    ];
    let names = ["\x000", "\x007 x", "\x001 or", "it's", "back\\slash", "\\' OR 1=1 -- ", "?", "$1 %s", "\" ` \\0"];
    for name in names {
        // PostgreSQL does not store every text; the filter must not be taken for anything else all the same.
        let new = NewImage {
            name: Some(name.to_owned()),
            size: Some(1),
            owner: Some(owner.clone()),
            ..NewImage::new(uuid())
        };
        let made = match images::create(db, new).await {
            Ok(made) => Some(made.id),
            Err(DbError::Characters(_)) if name.contains('\0') => None,
            Err(error) => panic!("{name:?}: {error:?}"),
        };
        for (viewer, condition) in viewers.iter().flat_map(|viewer| odd.iter().map(move |odd| (viewer, odd))) {
            let conditions = vec![condition.clone(), Condition::Equal(Column::Name, name.to_owned())];
            let query = ListQuery { conditions, ..ListQuery::new(viewer.clone(), 25) };
            match (images::list(db, &query).await, &made) {
                (Ok(found), Some(id)) => {
                    let found: Vec<&str> = found.iter().map(|image| image.id.as_str()).collect();
                    assert_eq!(found, [id.as_str()], "{name:?} {condition:?}");
                }
                (Err(DbError::Characters(_)), None) => {}
                (other, _) => panic!("{name:?} {condition:?}: {other:?}"),
            }
        }
    }
}

/// As many as are taken work, for who sees everything and for who sees a union; more are refused in words.
async fn many_filters(db: &Db) {
    let tags: Vec<String> = (0..40).map(|number| format!("tag-{number}")).collect();
    let properties: Vec<(String, String)> = (0..24).map(|number| (format!("many{number}"), "v".to_owned())).collect();
    let stored = properties.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    let owner = Some("many".to_owned());
    let new = NewImage { tags: tags.clone(), properties: stored, owner: owner.clone(), ..NewImage::new(uuid()) };
    let id = create(db, new).await.id;
    for is_admin in [true, false] {
        let viewer = Viewer { is_admin, project: owner.clone() };
        let mut query = ListQuery { tags: tags.clone(), properties: properties.clone(), ..ListQuery::new(viewer, 25) };
        assert_eq!(ids(db, &query).await, std::slice::from_ref(&id));
        query.tags.push("tag-0".to_owned());
        let error = images::list(db, &query).await.unwrap_err();
        assert!(matches!(error, DbError::TooManyFilters { filters: 65, most: 64 }), "{error:?}");
    }
}

/// As many values as are taken work, beside all else and for who sees the union of most sets; more are refused in words.
async fn many_values(db: &Db) {
    let owner = uuid();
    let names: Vec<String> = (0..MOST_VALUES).map(|number| format!("one of many {number}")).collect();
    let mut made = Vec::new();
    for name in names.iter().rev().take(3) {
        let new = NewImage {
            name: Some(name.clone()),
            owner: Some(owner.clone()),
            tags: texts(&["of many"]),
            ..NewImage::new(uuid())
        };
        made.push(create(db, new).await.id);
    }
    for (is_admin, visibility) in [
        (true, VisibilityCondition::All),
        (false, VisibilityCondition::Default),
        (false, VisibilityCondition::All),
        (false, VisibilityCondition::Only("shared".to_owned())),
    ] {
        let viewer = Viewer { is_admin, project: Some(owner.clone()) };
        let mut query = ListQuery { visibility, limit: 2, ..ListQuery::new(viewer, 25) };
        query.conditions.push(Condition::In(Column::Name, [names.as_slice(), &names].concat()));
        let mut found = ids(db, &query).await;
        query.marker = found.last().cloned();
        query.conditions.push(Condition::AtLeast(Column::MinRam, 0));
        query.tags = vec!["of many".to_owned(); MOST_FILTERS];
        found.extend(ids(db, &query).await);
        assert_eq!(sorted(found), sorted(made.clone()), "{:?} {:?}", query.viewer, query.visibility);

        query.conditions.push(Condition::In(Column::Status, texts(&["queued"])));
        let error = images::list(db, &query).await.unwrap_err();
        let values = MOST_VALUES + 1;
        assert!(matches!(&error, DbError::TooManyValues { values: found, .. } if *found == values), "{error:?}");
        query.conditions = vec![Condition::In(Column::Name, vec![String::new(); 16_300])];
        assert_eq!(ids(db, &query).await, [""; 0]);
    }
}

/// A query by an admin for the images with this property.
fn of_case(case: &str) -> ListQuery {
    let mut query = ListQuery::new(Viewer { is_admin: true, project: None }, 1000);
    query.visibility = VisibilityCondition::All;
    query.properties = vec![("case".to_owned(), case.to_owned())];
    query
}

fn image(case: &str) -> NewImage {
    NewImage { properties: pairs(&[("case", Some(case))]), ..NewImage::new(uuid()) }
}

async fn ids(db: &Db, query: &ListQuery) -> Vec<String> {
    images::list(db, query).await.unwrap().into_iter().map(|image| image.id).collect()
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// `_select_images_query` and the visibility part of `_image_get_all`, for one row.
fn is_listed(
    viewer: &Viewer,
    asked: &VisibilityCondition,
    status: Option<&str>,
    image: &ImageRecord,
    member: Option<&str>,
) -> bool {
    let own = viewer.project.is_some() && image.owner == viewer.project;
    let shared = image.visibility == "shared" && member.is_some_and(|is| status.is_none_or(|status| status == is));
    let reachable = viewer.is_admin || matches!(image.visibility.as_str(), "public" | "community") || own || shared;
    reachable
        && match asked {
            VisibilityCondition::All => true,
            VisibilityCondition::Only(only) => image.visibility == *only,
            VisibilityCondition::Default => own || image.visibility != "community",
        }
}

async fn who_sees_what(db: &Db) {
    let case = uuid();
    let (me, other) = (uuid(), uuid());
    let mut rows = Vec::new();
    for owner in [Some(&me), Some(&other), None] {
        for visibility in ["public", "community", "shared", "private"] {
            for membership in [None, Some("pending"), Some("accepted"), Some("rejected"), Some("gone")] {
                let new = NewImage { owner: owner.cloned(), visibility: visibility.to_owned(), ..image(&case) };
                let row = create(db, new).await;
                if let Some(status) = membership {
                    members::add(db, &row.id, &me, if status == "gone" { "accepted" } else { status }).await.unwrap();
                    if status == "gone" {
                        members::delete(db, &row.id, &me).await.unwrap();
                    }
                }
                rows.push((row, membership.filter(|status| *status != "gone")));
            }
        }
    }
    let viewer = |is_admin, project: Option<&String>| Viewer { is_admin, project: project.cloned() };
    let stranger = uuid();
    for viewer in
        [viewer(true, None), viewer(true, Some(&me)), viewer(false, Some(&me)), viewer(false, Some(&stranger))]
    {
        for asked in ["", "all", "public", "community", "shared", "private"] {
            for status in [Some("accepted"), Some("pending"), Some("rejected"), None] {
                let asked = match asked {
                    "" => VisibilityCondition::Default,
                    "all" => VisibilityCondition::All,
                    only => VisibilityCondition::Only(only.to_owned()),
                };
                let mut query = of_case(&case);
                (query.viewer, query.visibility) = (viewer.clone(), asked.clone());
                query.member_status = status.map(str::to_owned);
                let mine = |member: &Option<&'static str>| member.filter(|_| viewer.project.as_ref() == Some(&me));
                let expected = rows
                    .iter()
                    .filter(|(row, member)| is_listed(&viewer, &asked, status, row, mine(member)))
                    .map(|(row, _)| row.id.clone())
                    .collect();
                assert_eq!(sorted(ids(db, &query).await), sorted(expected), "{viewer:?} {asked:?} {status:?}");
            }
        }
    }
    // Without a project, upstream shows what is shared with anyone.
    let mut query = of_case(&case);
    (query.viewer, query.visibility) = (viewer(false, None), VisibilityCondition::Default);
    let expected = rows
        .iter()
        .filter(|(row, member)| row.visibility == "public" || (row.visibility == "shared" && member.is_some()))
        .map(|(row, _)| row.id.clone())
        .collect();
    assert_eq!(sorted(ids(db, &query).await), sorted(expected));
}

async fn filters(db: &Db) {
    let case = uuid();
    let day = datetime!(2024-03-01 12:00:00);
    let a = NewImage {
        name: Some("a, \"quoted\"".to_owned()),
        size: Some(100),
        status: "active".to_owned(),
        disk_format: Some("qcow2".to_owned()),
        protected: true,
        owner: Some("o1".to_owned()),
        checksum: Some("c1".to_owned()),
        tags: texts(&["x", "y"]),
        properties: pairs(&[("case", Some(&case)), ("os", Some("debian")), ("empty", Some(""))]),
        created_at: Some(day),
        updated_at: Some(day),
        ..NewImage::new(uuid())
    };
    let b = NewImage {
        name: Some("b".to_owned()),
        size: Some(200),
        min_ram: 512,
        os_hidden: true,
        visibility: "public".to_owned(),
        tags: texts(&["y"]),
        properties: pairs(&[("case", Some(&case)), ("os", Some("fedora"))]),
        created_at: Some(day + Duration::SECOND),
        updated_at: Some(day + Duration::SECOND),
        ..NewImage::new(uuid())
    };
    let killed = NewImage { status: "killed".to_owned(), ..image(&case) };
    let (a, b, killed) = (create(db, a).await.id, create(db, b).await.id, create(db, killed).await.id);
    let gone = create(db, image(&case)).await.id;
    images::delete(db, &gone, "deleted", None).await.unwrap();
    let equal = |column, value: &str| Condition::Equal(column, value.to_owned());
    let any = |column, values: &[&str]| Condition::In(column, texts(values));
    let (a, b) = (a.as_str(), b.as_str());
    let expected: Vec<(Vec<Condition>, Vec<&str>)> = vec![
        (vec![], vec![a, b]),
        (vec![equal(Column::Name, "b")], vec![b]),
        (vec![equal(Column::Name, "a, \"quoted\"")], vec![a]),
        (vec![equal(Column::Name, "c")], vec![]),
        (vec![equal(Column::Id, a)], vec![a]),
        (vec![equal(Column::Size, "100")], vec![a]),
        (vec![equal(Column::Size, "many")], vec![]),
        (vec![equal(Column::MinRam, "512")], vec![b]),
        (vec![equal(Column::Checksum, "c1")], vec![a]),
        (vec![equal(Column::Owner, "o1")], vec![a]),
        (vec![equal(Column::Visibility, "public")], vec![b]),
        (vec![equal(Column::Protected, "true")], vec![]),
        (vec![equal(Column::CreatedAt, "2024-03-01")], vec![]),
        (vec![any(Column::Name, &["b", "c", "d"])], vec![b]),
        (vec![any(Column::Name, &["b", "a, \"quoted\""])], vec![a, b]),
        (vec![any(Column::Status, &["active", "queued", "active"])], vec![a, b]),
        (vec![any(Column::DiskFormat, &["qcow2"])], vec![a]),
        (vec![any(Column::Visibility, &["public", "private"])], vec![b]),
        (vec![any(Column::Size, &["100"])], vec![]),
        (vec![any(Column::Name, &[])], vec![]),
        (vec![Condition::Is(Column::Protected, true)], vec![a]),
        (vec![Condition::Is(Column::OsHidden, false)], vec![a]),
        (vec![Condition::Is(Column::Name, false)], vec![]),
        (vec![Condition::AtLeast(Column::Size, 101)], vec![b]),
        (vec![Condition::AtLeast(Column::Size, 100), Condition::AtMost(Column::Size, 200)], vec![a, b]),
        (vec![Condition::AtMost(Column::Size, 199)], vec![a]),
        (vec![Condition::AtLeast(Column::MinRam, i64::MAX)], vec![]),
        (vec![Condition::AtLeast(Column::CreatedAt, 5)], vec![]),
        (vec![Condition::Time(Column::CreatedAt, Comparison::Equal, day)], vec![a]),
        (vec![Condition::Time(Column::CreatedAt, Comparison::NotEqual, day)], vec![b]),
        (vec![Condition::Time(Column::CreatedAt, Comparison::Greater, day)], vec![b]),
        (vec![Condition::Time(Column::UpdatedAt, Comparison::GreaterOrEqual, day)], vec![a, b]),
        (vec![Condition::Time(Column::UpdatedAt, Comparison::Less, day + Duration::SECOND)], vec![a]),
        (vec![Condition::Time(Column::UpdatedAt, Comparison::LessOrEqual, day - Duration::SECOND)], vec![]),
        (vec![Condition::Time(Column::Name, Comparison::Equal, day)], vec![]),
    ];
    for (conditions, expected) in expected {
        let query = ListQuery { conditions: conditions.clone(), ..of_case(&case) };
        assert_eq!(sorted(ids(db, &query).await), sorted(texts(&expected)), "{conditions:?}");
    }
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], Vec<&'a str>);
    let expected: [Case<'_>; 7] = [
        (&["y"], &[], vec![a, b]),
        (&["y", "x"], &[], vec![a]),
        (&["z"], &[], vec![]),
        (&[], &[("os", "debian")], vec![a]),
        (&[], &[("os", "debian"), ("empty", "")], vec![a]),
        (&["y"], &[("os", "fedora")], vec![b]),
        (&[], &[("os", "debian"), ("os", "fedora")], vec![]),
    ];
    for (tags, properties, expected) in expected {
        let mut query = ListQuery { tags: texts(tags), ..of_case(&case) };
        query.properties.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(sorted(ids(db, &query).await), sorted(texts(&expected)), "{tags:?} {properties:?}");
    }
    let both = ListQuery {
        deleted: None,
        properties: vec![],
        conditions: vec![any(Column::Id, &[a, &killed, &gone])],
        ..of_case(&case)
    };
    assert_eq!(sorted(ids(db, &both).await), sorted(texts(&[a, &killed, &gone])));
    let only = ListQuery { deleted: Some(true), ..both };
    assert_eq!(ids(db, &only).await, texts(&[&gone]));
}

async fn pages_join_up(db: &Db) {
    let case = uuid();
    let me = uuid();
    let day = datetime!(2024-03-01 12:00:00);
    let names = [None, Some(""), Some("a"), Some("B"), Some("a"), None, Some("ü")];
    let sizes = [Some(5), None, Some(0), Some(i64::MAX), Some(0), None];
    for n in 0..23i32 {
        let at = |list: usize| usize::try_from(n).unwrap() % list;
        let new = NewImage {
            name: names[at(names.len())].map(str::to_owned),
            size: sizes[at(sizes.len())],
            disk_format: (n % 3 == 0).then(|| "raw".to_owned()),
            owner: (n % 2 == 0).then(|| me.clone()),
            visibility: if n % 5 == 0 { "public" } else { "shared" }.to_owned(),
            created_at: Some(day + Duration::seconds(i64::from(n / 4))),
            updated_at: Some(day + Duration::seconds(i64::from(n % 2))),
            ..image(&case)
        };
        let id = create(db, new).await.id;
        if n % 7 == 1 {
            members::add(db, &id, &me, "accepted").await.unwrap();
        }
    }
    use Column::*;
    let orders: [&[Column]; 11] = [
        &[],
        &[Name],
        &[Status],
        &[Size],
        &[DiskFormat],
        &[Id],
        &[CreatedAt],
        &[UpdatedAt],
        &[Size, Name],
        &[Name, CreatedAt, Size],
        &[DiskFormat, DiskFormat],
    ];
    for viewer in [Viewer { is_admin: true, project: None }, Viewer { is_admin: false, project: Some(me.clone()) }] {
        for keys in orders {
            for directions in [&[][..], &[Direction::Ascending], &[Direction::Descending, Direction::Ascending]] {
                let mut query = ListQuery { viewer: viewer.clone(), ..of_case(&case) };
                query.set_sort(keys, directions);
                let all = ids(db, &query).await;
                let visible = if viewer.is_admin { 23 } else { sorted(all.clone()).len() };
                assert_eq!(all.len(), visible);
                assert!(all.len() > 12);
                let mut joined = Vec::new();
                query.limit = 4;
                while joined.len() <= all.len() {
                    query.marker = joined.last().cloned();
                    let page = ids(db, &query).await;
                    if page.is_empty() {
                        break;
                    }
                    joined.extend(page);
                }
                assert_eq!(joined, all, "{viewer:?} {keys:?} {directions:?}");
            }
        }
    }
    // The default order, by hand: newest first, and of the same second the larger id first.
    let mut rows = images::list(db, &of_case(&case)).await.unwrap();
    let given: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    assert_eq!(given, rows.into_iter().map(|row| row.id).collect::<Vec<_>>());
}

async fn markers(db: &Db) {
    let case = uuid();
    let (me, other) = (uuid(), uuid());
    let of = |owner: &str, visibility: &str| NewImage {
        owner: Some(owner.to_owned()),
        visibility: visibility.to_owned(),
        ..image(&case)
    };
    let hers = create(db, of(&other, "private")).await.id;
    let shared = create(db, of(&other, "shared")).await.id;
    let community = create(db, of(&other, "community")).await.id;
    let gone = create(db, of(&me, "private")).await.id;
    images::delete(db, &gone, "deleted", None).await.unwrap();
    let query = |marker: &str| ListQuery {
        viewer: Viewer { is_admin: false, project: Some(me.clone()) },
        marker: Some(marker.to_owned()),
        ..of_case(&case)
    };
    for unknown in [uuid(), gone.clone(), "x".repeat(300), String::new()] {
        let error = images::list(db, &query(&unknown)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("No image found with ID {unknown}"));
        assert!(matches!(error, DbError::MarkerNotFound(id) if id == unknown));
    }
    let other_case = images::list(db, &query(&community.to_uppercase())).await;
    assert_eq!(other_case.is_ok(), super::ignores_case(db));
    let by_admin = ListQuery { viewer: Viewer { is_admin: true, project: None }, ..query(&gone) };
    images::list(db, &by_admin).await.unwrap();
    for invisible in [&hers, &shared] {
        let error = images::list(db, &query(invisible)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Forbidding request, image {invisible} not visible"));
        assert!(matches!(error, DbError::MarkerNotVisible(id) if id == *invisible));
    }
    members::add(db, &shared, &me, "rejected").await.unwrap();
    images::list(db, &query(&shared)).await.unwrap();
    images::list(db, &query(&community)).await.unwrap();
    let nothing = ListQuery { limit: 0, marker: None, ..query("") };
    assert_eq!(images::list(db, &nothing).await.unwrap(), []);
    let unknown = ListQuery { limit: 0, ..query("unknown") };
    assert!(images::list(db, &unknown).await.is_err());
}

async fn children_come_along(db: &Db) {
    let case = uuid();
    for n in 0..5 {
        let mut new = image(&case);
        new.tags = (0..n).map(|tag| format!("t{tag}")).collect();
        new.locations = (0..n % 3).map(|url| location(&format!("u{url}"))).collect();
        new.properties.extend((0..n).map(|name| (format!("p{name}"), Some("v".to_owned()))));
        create(db, new).await;
    }
    let rows = images::list(db, &of_case(&case)).await.unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(images::get(db, &row.id, false).await.unwrap(), Some(row));
    }
}
