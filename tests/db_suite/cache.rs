//! What lies in the image caches of nodes.

use std::time::Duration;

use time::macros::datetime;

use super::super::glance_api::db::cache::{self, CachedImageRecord, NewCachedImage};
use super::super::glance_api::db::{Db, DbError};
use super::{now, uuid};

pub(super) async fn run(db: &Db) {
    what_comes_is_found_until_it_goes(db).await;
    the_longest_unread_come_first(db).await;
    each_node_has_its_own(db).await;
    many_may_do_the_same_at_once(db).await;
}

async fn node(db: &Db) -> String {
    let url = format!("http://{}:9292", uuid());
    cache::register_node(db, &url).await.unwrap();
    url
}

fn ids(cached: Vec<CachedImageRecord>) -> Vec<String> {
    cached.into_iter().map(|cached| cached.image_id).collect()
}

async fn what_comes_is_found_until_it_goes(db: &Db) {
    let (node, image) = (node(db).await, uuid());
    assert_eq!(cache::get(db, &node, &image).await.unwrap(), None);
    let (accessed, modified) = (datetime!(2024-02-29 23:59:59), datetime!(2024-02-28 01:02:03));
    let new = NewCachedImage {
        image_id: image.clone(),
        size: 5_000_000_000,
        checksum: Some("0123456789abcdef0123456789abcdef".to_owned()),
        last_accessed: accessed,
        last_modified: modified,
        hits: 3,
    };
    assert!(cache::add(db, &node, new.clone()).await.unwrap());
    let found = cache::get(db, &node, &image).await.unwrap().unwrap();
    let expected = CachedImageRecord {
        id: found.id,
        image_id: image.clone(),
        last_accessed: accessed,
        last_modified: modified,
        size: new.size,
        hits: 3,
        checksum: new.checksum.clone(),
    };
    assert_eq!(found, expected);
    assert_eq!(cache::list(db, &node).await.unwrap(), std::slice::from_ref(&expected));
    // What is there stays as it is, even if the node registers again.
    cache::register_node(db, &node).await.unwrap();
    assert!(!cache::add(db, &node, NewCachedImage { size: 1, ..new }).await.unwrap());
    assert_eq!(cache::list(db, &node).await.unwrap(), [expected]);

    for (hits, second) in [(1, 1), (40, 2)] {
        let at = datetime!(2024-03-01 00:00:00) + Duration::from_secs(second);
        assert!(cache::count_hits(db, &node, &image, hits, at).await.unwrap());
    }
    let read = cache::get(db, &node, &image).await.unwrap().unwrap();
    assert_eq!((read.hits, read.last_modified, read.last_accessed), (44, modified, datetime!(2024-03-01 00:00:02)));

    let images = [image.clone(), uuid()];
    assert_eq!(cache::remove(db, &node, &images).await.unwrap(), 1);
    assert_eq!(cache::remove(db, &node, &images).await.unwrap(), 0);
    assert_eq!(cache::remove(db, &node, &[]).await.unwrap(), 0);
    assert!(!cache::count_hits(db, &node, &image, 1, now()).await.unwrap());
    assert_eq!(cache::get(db, &node, &image).await.unwrap(), None);
}

async fn the_longest_unread_come_first(db: &Db) {
    let node = node(db).await;
    let start = datetime!(2024-01-01 00:00:00);
    let images = [uuid(), uuid(), uuid(), uuid()];
    // The second and third at the same time, the first after all others.
    for (image, seconds) in images.iter().zip([30, 20, 20, 10]) {
        let last_accessed = start + Duration::from_secs(seconds);
        cache::add(db, &node, NewCachedImage { last_accessed, ..NewCachedImage::new(image, 1) }).await.unwrap();
    }
    assert_eq!(ids(cache::list(db, &node).await.unwrap()), images);
    let [first, second, third, fourth] = images;
    let order = [fourth.clone(), second, third, first];
    assert_eq!(cache::least_recently_accessed(db, &node, 10).await.unwrap(), order);
    assert_eq!(cache::least_recently_accessed(db, &node, 2).await.unwrap(), order[..2]);
    cache::count_hits(db, &node, &fourth, 1, now()).await.unwrap();
    assert_eq!(cache::least_recently_accessed(db, &node, 1).await.unwrap(), order[1..2]);
    // More than one statement takes, and one that is known, which stays as it is.
    let mut more: Vec<NewCachedImage> = (0..600).map(|_| NewCachedImage::new(uuid(), 2)).collect();
    more.insert(550, NewCachedImage::new(&order[1], 2));
    cache::add_unknown(db, &node, more.clone()).await.unwrap();
    cache::add_unknown(db, &node, more).await.unwrap();
    let all = cache::list(db, &node).await.unwrap();
    assert_eq!(all.len(), 604);
    assert!(all.iter().all(|cached| (cached.size == 1) == order.contains(&cached.image_id)));
    assert_eq!(cache::remove(db, &node, &ids(all)).await.unwrap(), 604);
}

async fn each_node_has_its_own(db: &Db) {
    let (here, there, image) = (node(db).await, node(db).await, uuid());
    let absent = format!("http://{}:9292", uuid());
    for node in [&here, &there] {
        for id in [image.clone(), uuid()] {
            assert!(cache::add(db, node, NewCachedImage::new(id, 7)).await.unwrap());
        }
    }
    assert_eq!(cache::nodes(db, &image).await.unwrap(), [here.clone(), there.clone()]);
    assert!(cache::count_hits(db, &here, &image, 1, now()).await.unwrap());
    assert_eq!(cache::get(db, &here, &image).await.unwrap().unwrap().hits, 1);
    assert_eq!(cache::get(db, &there, &image).await.unwrap().unwrap().hits, 0);
    assert_eq!(cache::remove(db, &here, std::slice::from_ref(&image)).await.unwrap(), 1);
    assert_eq!(cache::nodes(db, &image).await.unwrap(), std::slice::from_ref(&there));
    assert_eq!(cache::remove_all(db, &there).await.unwrap(), 2);
    assert_eq!(cache::list(db, &there).await.unwrap(), []);
    assert_eq!(cache::list(db, &here).await.unwrap().len(), 1);
    assert_eq!(cache::nodes(db, &image).await.unwrap(), Vec::<String>::new());

    let refused = cache::add(db, &absent, NewCachedImage::new(&image, 7)).await.unwrap_err();
    assert!(matches!(&refused, DbError::NotFound { what: "node", key } if *key == absent), "{refused}");
    assert_eq!(cache::list(db, &absent).await.unwrap(), []);
    assert_eq!(cache::remove_all(db, &absent).await.unwrap(), 0);
}

async fn many_may_do_the_same_at_once(db: &Db) {
    let (url, image) = (format!("http://{}:9292", uuid()), uuid());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (db, url, image) = (db.clone(), url.clone(), image.clone());
        workers.spawn(async move {
            cache::register_node(&db, &url).await.unwrap();
            let is_new = cache::add(&db, &url, NewCachedImage::new(&image, 7)).await.unwrap();
            cache::count_hits(&db, &url, &image, 2, now()).await.unwrap();
            is_new
        });
    }
    let added = workers.join_all().await.into_iter().filter(|is_new| *is_new).count();
    assert_eq!(added, 1);
    let [cached] = cache::list(db, &url).await.unwrap().try_into().unwrap();
    assert_eq!((cached.image_id, cached.hits), (image.clone(), 12));
    assert_eq!(cache::nodes(db, &image).await.unwrap(), [url]);
}
