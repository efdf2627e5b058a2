//! Tasks, and the images that they have for themselves.

use serde_json::json;

use super::super::glance_api::db::images::{self, StagingState};
use super::super::glance_api::db::model::{ImageUpdate, NewImage, OtherProperties};
use super::super::glance_api::db::tasks::{
    self, ImageStep, NewTask, TakeOver, TaskLock, TaskQuery, TaskRecord, TaskStep, TaskViewer,
};
use super::super::glance_api::db::{Db, DbError};
use super::{create, get, now, pairs, uuid};

const LOCK: &str = "os_glance_import_task";

pub(super) async fn run(db: &Db) {
    what_is_written_is_read(db).await;
    lists_have_pages(db).await;
    a_task_has_an_image_for_itself(db).await;
    steps_are_taken_whole_or_not_at_all(db).await;
    leases_are_renewed(db).await;
    a_task_that_makes_an_image_tells_whose_it_is(db).await;
    an_image_is_taken_from_a_dead_worker_once(db).await;
    staged_data_is_awaited(db).await;
}

fn admin() -> TaskViewer {
    TaskViewer { is_admin: true, project: None }
}

fn of(project: &str) -> TaskViewer {
    TaskViewer { is_admin: false, project: Some(project.to_owned()) }
}

pub(super) fn new(owner: &str, image: Option<&str>) -> NewTask {
    NewTask {
        id: uuid(),
        kind: "api_image_import".to_owned(),
        owner: owner.to_owned(),
        image_id: image.map(str::to_owned),
        request_id: Some("req-1".to_owned()),
        user_id: None,
        input: json!({"näme": ["ü", 1, null]}),
    }
}

fn step(task: &str, from: &[&'static str], to: &'static str) -> TaskStep {
    TaskStep {
        task: task.to_owned(),
        from: from.to_vec(),
        to,
        result: None,
        message: None,
        expires_at: None,
        image: None,
    }
}

async fn task(db: &Db, id: &str) -> TaskRecord {
    tasks::get(db, id, &admin()).await.unwrap().unwrap()
}

async fn what_is_written_is_read(db: &Db) {
    let (project, image) = (uuid(), uuid());
    let wanted = new(&project, Some(&image));
    tasks::create(db, wanted.clone()).await.unwrap();
    let found = task(db, &wanted.id).await;
    assert_eq!((found.status.as_str(), found.message.as_deref(), found.result), ("pending", None, None));
    assert_eq!((found.kind, found.owner, found.input), (wanted.kind, project.clone(), Some(wanted.input)));
    assert_eq!((found.image_id.as_deref(), found.request_id.as_deref()), (Some(image.as_str()), Some("req-1")));
    assert_eq!((found.user_id, found.expires_at, found.deleted), (None, None, false));
    for (viewer, is_seen) in [(admin(), true), (of(&project), true), (of("another"), false)] {
        assert_eq!(tasks::get(db, &wanted.id, &viewer).await.unwrap().is_some(), is_seen, "{viewer:?}");
        assert_eq!(tasks::of_image(db, &image, &viewer).await.unwrap().len(), usize::from(is_seen), "{viewer:?}");
    }
    assert_eq!(tasks::get(db, &uuid(), &admin()).await.unwrap(), None);
    let (failed, expires_at) = (new(&project, None), now() + time::Duration::hours(1));
    let failure = tasks::Failure { message: "nothing to do".to_owned(), expires_at };
    tasks::create_failed(db, failed.clone(), failure).await.unwrap();
    let found = task(db, &failed.id).await;
    assert_eq!((found.status.as_str(), found.message.as_deref()), ("failure", Some("nothing to do")));
    assert!(found.expires_at.is_some_and(|shown| (shown - expires_at).abs() < time::Duration::seconds(2)));

    // Past its time, nobody but an administrator who asks for it by its id sees it.
    let over =
        TaskStep { expires_at: Some(now() - time::Duration::hours(1)), ..step(&wanted.id, &["pending"], "failure") };
    tasks::take_step(db, over).await.unwrap();
    assert_eq!(tasks::of_image(db, &image, &admin()).await.unwrap(), []);
    assert!(tasks::remove_expired(db).await.unwrap() >= 1);
    assert!(task(db, &wanted.id).await.deleted);
    assert_eq!(tasks::get(db, &wanted.id, &of(&project)).await.unwrap(), None);
}

async fn lists_have_pages(db: &Db) {
    let project = uuid();
    let mut ids = Vec::new();
    for image in [None, Some("i1"), None, Some("i2"), Some("i3")] {
        let task = new(&project, image);
        ids.push(task.id.clone());
        tasks::create(db, task).await.unwrap();
    }
    let query = |sort_key: &str, is_descending, marker: Option<String>| TaskQuery {
        viewer: of(&project),
        limit: 2,
        marker,
        sort_key: sort_key.to_owned(),
        is_descending,
        filters: Vec::new(),
    };
    for sort_key in ["created_at", "id", "image_id", "expires_at", "status", "updated_at", "deleted"] {
        for is_descending in [false, true] {
            let (mut seen, mut marker) = (Vec::new(), None);
            loop {
                let page = tasks::list(db, query(sort_key, is_descending, marker)).await.unwrap();
                marker = page.last().map(|task| task.id.clone());
                seen.extend(page.into_iter().map(|task| task.id));
                if marker.is_none() || seen.len() > ids.len() {
                    break;
                }
            }
            let mut once = seen.clone();
            once.sort();
            once.dedup();
            assert_eq!((seen.len(), once.len()), (5, 5), "{sort_key} {is_descending}");
        }
    }
    let filtered = |name: &str, value: &str| TaskQuery {
        filters: vec![(name.to_owned(), value.to_owned())],
        limit: 10,
        ..query("created_at", true, None)
    };
    for (name, value, count) in [("image_id", "i2", 1), ("status", "pending", 5), ("type", "import", 0), ("x", "y", 5)]
    {
        assert_eq!(tasks::list(db, filtered(name, value)).await.unwrap().len(), count, "{name}");
    }
    // However often one thing is said; what contradicts itself is said of no task.
    let mut often = filtered("image_id", "i2");
    often.filters = vec![often.filters[0].clone(); 2000];
    assert_eq!(tasks::list(db, often.clone()).await.unwrap().len(), 1);
    often.filters.push(("image_id".to_owned(), "i1".to_owned()));
    assert_eq!(tasks::list(db, often.clone()).await.unwrap(), []);
    let beside = TaskQuery { marker: Some(uuid()), ..often };
    assert!(matches!(tasks::list(db, beside).await, Err(DbError::MarkerNotFound(_))));
    let unknown = tasks::list(db, query("nothing", false, None)).await;
    assert!(matches!(unknown, Err(DbError::NotFound { what: "column", .. })), "{unknown:?}");
    let missing = tasks::list(db, query("id", false, Some(uuid()))).await;
    assert!(matches!(missing, Err(DbError::MarkerNotFound(_))), "{missing:?}");
    let hidden = TaskQuery { viewer: of("another"), ..query("id", false, ids.pop()) };
    assert!(matches!(tasks::list(db, hidden).await, Err(DbError::MarkerNotVisible(_))));
}

fn lock(image: &str, takes_over: bool) -> TaskLock {
    TaskLock { image: image.to_owned(), property: LOCK, status: "queued".to_owned(), takes_over }
}

async fn a_task_has_an_image_for_itself(db: &Db) {
    let (image, missing) = (uuid(), uuid());
    create(db, NewImage::new(&image)).await;
    let nowhere = tasks::create_locked(db, new("p", Some(&missing)), lock(&missing, true)).await;
    assert!(matches!(nowhere, Err(DbError::NotFound { .. })), "{nowhere:?}");
    // Somebody writes its data.
    images::take(db, &image, ImageUpdate::default(), &["queued"], "one").await.unwrap();
    let rival = tasks::create_locked(db, new("p", Some(&image)), lock(&image, false)).await;
    assert!(matches!(rival, Err(DbError::Duplicate { .. })), "{rival:?}");

    let other = TaskLock { status: "active".to_owned(), ..lock(&image, true) };
    let late = tasks::create_locked(db, new("p", Some(&image)), other).await;
    assert!(matches!(late, Err(DbError::StateConflict { .. })), "{late:?}");

    let first = new("p", Some(&image));
    tasks::create_locked(db, first.clone(), lock(&image, true)).await.unwrap();
    let second = new("p", Some(&image));
    let rival = tasks::create_locked(db, second.clone(), lock(&image, true)).await;
    assert!(matches!(rival, Err(DbError::Duplicate { .. })), "{rival:?}");
    assert_eq!(tasks::get(db, &second.id, &admin()).await.unwrap(), None, "nothing of the loser stays");
    let found = images::with_owner(db, &image).await.unwrap().unwrap();
    assert_eq!(found.owner.as_deref(), Some(first.id.as_str()));
    assert_eq!(found.image.properties, pairs(&[(LOCK, Some(&first.id))]));
}

fn image_step(image: &str, token: &str, status: &str, from: &str) -> ImageStep {
    let change = ImageUpdate {
        status: Some(status.to_owned()),
        properties: Some(pairs(&[("stores", Some("a"))])),
        other_properties: OtherProperties::DeleteNamed(Vec::new()),
        ..ImageUpdate::default()
    };
    ImageStep { id: image.to_owned(), change, from: vec![from.to_owned()], token: token.to_owned(), unlocks: None }
}

async fn steps_are_taken_whole_or_not_at_all(db: &Db) {
    let image = uuid();
    create(db, NewImage::new(&image)).await;
    let own = new("p", Some(&image));
    let id = own.id.as_str();
    tasks::create_locked(db, own.clone(), lock(&image, true)).await.unwrap();
    let begin = |token: &str, from: &str| TaskStep {
        image: Some(image_step(&image, token, "importing", from)),
        ..step(id, &["pending"], "processing")
    };
    for (token, from) in [("another", "queued"), (id, "active")] {
        let refused = tasks::take_step(db, begin(token, from)).await;
        assert!(matches!(refused, Err(DbError::StateConflict { .. })), "{refused:?}");
        assert_eq!(task(db, id).await.status, "pending");
    }
    tasks::take_step(db, begin(id, "queued")).await.unwrap();
    // The task is no longer there for it, so the image stays.
    let late =
        TaskStep { image: Some(image_step(&image, id, "active", "importing")), ..step(id, &["pending"], "failure") };
    assert!(matches!(tasks::take_step(db, late).await, Err(DbError::NotFound { what: "task", .. })));
    assert_eq!(get(db, &image).await.unwrap().status, "importing");

    tasks::report(db, id, "half".to_owned()).await.unwrap();
    let end = ImageStep { unlocks: Some(LOCK), ..image_step(&image, id, "active", "importing") };
    let end =
        TaskStep { result: Some(json!({"image_id": image})), image: Some(end), ..step(id, &["processing"], "success") };
    tasks::take_step(db, end).await.unwrap();
    let found = images::with_owner(db, &image).await.unwrap().unwrap();
    assert_eq!((found.image.status.as_str(), found.owner), ("active", None));
    assert_eq!(found.image.properties, pairs(&[("stores", Some("a"))]));
    let done = task(db, id).await;
    assert_eq!((done.status.as_str(), done.message.as_deref()), ("success", Some("half")));
    assert_eq!(done.result, Some(json!({"image_id": image})));
    // What is over is not reported on.
    tasks::report(db, id, "more".to_owned()).await.unwrap();
    assert_eq!(task(db, id).await.message.as_deref(), Some("half"));
}

async fn leases_are_renewed(db: &Db) {
    let image = uuid();
    create(db, NewImage { status: "active".to_owned(), ..NewImage::new(&image) }).await;
    images::take(db, &image, ImageUpdate::default(), &["active"], "somebody").await.unwrap();
    let (living, done) = (new("p", Some(&image)), new("p", Some(&image)));
    for task in [&living, &done] {
        tasks::create(db, task.clone()).await.unwrap();
    }
    tasks::take_step(db, step(&done.id, &["pending"], "failure")).await.unwrap();
    let renewed_at = async |id: &str| {
        let leases = tasks::leases(db, 1000).await.unwrap();
        let lease = leases.into_iter().find(|lease| lease.task == id);
        assert!(lease.as_ref().is_none_or(|lease| lease.owner.as_deref() == Some("somebody")), "{lease:?}");
        lease.map(|lease| lease.renewed_at)
    };
    let begin = renewed_at(&living.id).await.unwrap();
    assert_eq!(renewed_at(&done.id).await, None);
    let held = vec![living.id.clone(), done.id.clone(), uuid()];
    assert_eq!(tasks::renew(db, held).await.unwrap(), std::slice::from_ref(&living.id));
    assert_eq!(tasks::renew(db, Vec::new()).await.unwrap(), [""; 0]);
    assert!(renewed_at(&living.id).await.unwrap() >= begin);
    assert_eq!(tasks::leases(db, 1).await.unwrap().len(), 1);
}

/// Upstream's server writes an empty message with its tasks, and another one at their end.
async fn a_task_that_makes_an_image_tells_whose_it_is(db: &Db) {
    let maker = NewTask { kind: "import".to_owned(), ..new("p", None) };
    let importer = new("p", Some(&uuid()));
    for task in [&maker, &importer] {
        tasks::create(db, task.clone()).await.unwrap();
    }
    let makes_image_for_us = async |task: &NewTask| {
        let leases = tasks::leases(db, 1000).await.unwrap();
        leases.into_iter().find(|lease| lease.task == task.id).unwrap().makes_image_for_us
    };
    assert_eq!((makes_image_for_us(&maker).await, makes_image_for_us(&importer).await), (true, false));
    let begun = TaskStep { message: Some(String::new()), ..step(&maker.id, &["pending"], "processing") };
    tasks::take_step(db, begun).await.unwrap();
    assert!(!makes_image_for_us(&maker).await, "it may be upstream's");
    tasks::report(db, &maker.id, "10%".to_owned()).await.unwrap();
    assert!(makes_image_for_us(&maker).await);
    // Nothing is left for the lists of others.
    for (task, from) in [(&maker, "processing"), (&importer, "pending")] {
        tasks::take_step(db, step(&task.id, &[from], "failure")).await.unwrap();
    }
}

async fn an_image_is_taken_from_a_dead_worker_once(db: &Db) {
    let image = uuid();
    create(db, NewImage::new(&image)).await;
    let dead = new("p", Some(&image));
    tasks::create_locked(db, dead.clone(), lock(&image, true)).await.unwrap();
    let seen = |from: &str, former: Option<&str>, token: &str| TakeOver {
        image: image.clone(),
        from: from.to_owned(),
        former: former.map(str::to_owned),
        to: Some("importing".to_owned()),
        token: token.to_owned(),
        task: dead.id.clone(),
        property: LOCK,
    };
    let refused = |outcome: Result<(), DbError>| matches!(outcome, Err(DbError::StateConflict { .. }));
    let own = Some(dead.id.as_str());
    for (from, former) in [("uploading", own), ("queued", Some("another")), ("queued", None)] {
        assert!(refused(tasks::take_over(db, seen(from, former, "one")).await), "{from} {former:?}");
    }
    tasks::take_over(db, seen("queued", own, "one")).await.unwrap();
    assert!(refused(tasks::take_over(db, seen("queued", own, "two")).await));
    let taken = images::with_owner(db, &image).await.unwrap().unwrap();
    assert_eq!((taken.image.status.as_str(), taken.owner.as_deref()), ("importing", Some("one")));
    assert_eq!(taken.image.properties, pairs(&[(LOCK, own)]));
    // Nobody else can have it until it is given back.
    assert!(refused(images::take(db, &image, ImageUpdate::default(), &["queued"], "upload").await));
    let rival = TaskLock { status: "importing".to_owned(), ..lock(&image, true) };
    let rival = tasks::create_locked(db, new("p", Some(&image)), rival).await;
    assert!(matches!(rival, Err(DbError::Duplicate { .. })), "{rival:?}");

    // One that nobody has is locked for the task; one that another task has is left alone, and as it was.
    let end = ImageStep { unlocks: Some(LOCK), ..image_step(&image, "one", "queued", "importing") };
    tasks::take_step(db, TaskStep { image: Some(end), ..step(&dead.id, &["pending"], "failure") }).await.unwrap();
    tasks::take_over(db, seen("queued", None, "three")).await.unwrap();
    let locked = images::with_owner(db, &image).await.unwrap().unwrap();
    assert_eq!(locked.owner.as_deref(), Some("three"));
    assert!(locked.image.properties.contains(&pairs(&[(LOCK, own)])[0]), "{locked:?}");
    let other = TakeOver { task: uuid(), ..seen("importing", Some("three"), "four") };
    assert!(matches!(tasks::take_over(db, other).await, Err(DbError::Duplicate { .. })));
    assert_eq!(images::with_owner(db, &image).await.unwrap().unwrap(), locked);
}

async fn staged_data_is_awaited(db: &Db) {
    let (queued, staged, locked, gone) = (uuid(), uuid(), uuid(), uuid());
    for id in [&queued, &staged, &locked, &gone] {
        create(db, NewImage::new(id)).await;
    }
    images::take(
        db,
        &staged,
        ImageUpdate { status: Some("uploading".to_owned()), ..ImageUpdate::default() },
        &["queued"],
        "t",
    )
    .await
    .unwrap();
    let task = new("p", Some(&locked));
    tasks::create_locked(db, task.clone(), lock(&locked, false)).await.unwrap();
    // The lock alone is enough.
    images::give_back(db, &locked, ImageUpdate::default(), &["queued"], &task.id).await.unwrap();
    images::delete(db, &gone, "deleted", None).await.unwrap();
    let ids = vec![queued.clone(), staged.clone(), locked.clone(), gone, uuid()];
    let mut found = images::staging_states(db, ids).await.unwrap();
    found.sort_by_key(|state| state.id.clone());
    let state = |id: String, is_awaited| StagingState { id, is_awaited };
    let mut expected = vec![state(queued, false), state(staged, true), state(locked, true)];
    expected.sort_by_key(|state| state.id.clone());
    assert_eq!(found, expected);
}
