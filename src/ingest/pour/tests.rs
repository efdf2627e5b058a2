use futures_util::stream;

use std::sync::Arc;

use super::super::fake::{Fake, Step};
use super::*;
use crate::config::{Config, DriverOptions, StoreSection};
use crate::ingest::FailedStores;
use crate::store::{STAGING_STORE, Stores, TASKS_STORE};

const WIDE: Allowance = Allowance { most: u64::MAX, remaining: None };

fn order(needed: Needed) -> Order<'static> {
    let algorithm = Algorithm::parse("sha256").unwrap();
    Order {
        object: "one",
        announced: None,
        length: None,
        algorithm: Some(algorithm),
        inspects: false,
        needed,
        at_once: 2,
        context: StoreContext::default(),
    }
}

fn pieces(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(vec![number as u8; 1000])).collect()
}

fn source(pieces: &[Bytes]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    stream::iter(pieces.to_vec()).map(Ok)
}

async fn ingest(stores: &[&Fake], needed: Needed) -> Result<Ingested, IngestError> {
    let targets = stores.iter().map(|store| store.destination()).collect();
    let data = pieces(5);
    Ingest::begin(targets, &order(needed)).await?.pour(source(&data), WIDE).await?.commit().await
}

fn urls(ingested: &Ingested) -> Vec<&str> {
    ingested.stored.iter().map(|stored| stored.url.as_str()).collect()
}

#[tokio::test]
async fn data_goes_to_all_stores_at_once_and_is_never_copied() {
    let stores = [Fake::new("a", &[]), Fake::new("b", &[]), Fake::new("c", &[])];
    let data = pieces(5);
    let ingest = Ingest::begin(stores.iter().map(Fake::destination).collect(), &order(Needed::All)).await.unwrap();
    let poured = ingest.pour(source(&data), WIDE).await.unwrap();
    assert_eq!(poured.size, 5000);
    for store in &stores {
        assert_eq!(store.content(), None, "nothing is visible before the commit");
    }
    let ingested = poured.commit().await.unwrap();
    assert_eq!(urls(&ingested), ["fake://a/one", "fake://b/one", "fake://c/one"]);
    assert!(ingested.lost.is_empty());
    assert_eq!((ingested.size, ingested.stored[1].size), (5000, 5000));
    let expected = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(data.concat()));
    assert_eq!(ingested.hashes.unwrap().value, expected);
    for store in &stores {
        let state = store.state();
        let stored = &state.objects.values().next().unwrap();
        assert!(stored.iter().zip(&data).all(|(stored, sent)| stored.as_ptr() == sent.as_ptr()), "a piece was copied");
        assert_eq!((stored.len(), state.open), (5, 0));
    }
}

#[tokio::test]
async fn the_slowest_store_sets_the_pace() {
    let fast = Fake::new("fast", &[]);
    let (slow, permits) = Fake::slow("slow");
    let ingest = Ingest::begin(vec![fast.destination(), slow.destination()], &order(Needed::All)).await.unwrap();
    let data = pieces(20);
    let pour = tokio::spawn(ingest.pour(source(&data), WIDE));
    for taken in 0..20 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let ahead = fast.state().pieces;
        assert_eq!((slow.state().pieces, ahead), (taken, taken + 1), "the source is read ahead of the slowest store");
        permits.add_permits(1);
    }
    pour.await.unwrap().unwrap().commit().await.unwrap();
    assert_eq!(slow.content(), fast.content());
}

#[tokio::test]
async fn where_all_stores_are_needed_one_failure_removes_everything() {
    for step in [Step::Begin, Step::Write(0), Step::Write(3), Step::Commit] {
        let (good, bad, other) = (Fake::new("good", &[]), Fake::new("bad", &[step]), Fake::new("other", &[]));
        let error = ingest(&[&good, &bad, &other], Needed::All).await.unwrap_err();
        assert!(
            matches!(error, IngestError::Stores(FailedStores { error: StoreError::NoRoom { .. }, .. })),
            "{step:?}: {error}"
        );
        for store in [&good, &bad, &other] {
            assert_eq!((store.content(), store.state().open), (None, 0), "{step:?} leaves something");
        }
    }
}

#[tokio::test]
async fn stores_make_data_durable_in_their_order_and_not_after_one_that_failed() {
    for (at_once, needed, expected) in
        [(1, Needed::All, [true, true, false]), (3, Needed::All, [true; 3]), (1, Needed::Any, [true; 3])]
    {
        let stores = [Fake::new("good", &[]), Fake::new("bad", &[Step::Commit]), Fake::new("other", &[])];
        let order = Order { at_once, ..order(needed) };
        let ingest = Ingest::begin(stores.iter().map(Fake::destination).collect(), &order).await.unwrap();
        let ended = ingest.pour(source(&pieces(1)), WIDE).await.unwrap().commit().await;
        assert_eq!(ended.is_ok(), needed == Needed::Any);
        let begun = stores.each_ref().map(|store| store.state().is_committing);
        assert_eq!(begun, expected, "{at_once} {needed:?}");
        assert!(stores.iter().all(|store| store.state().open == 0));
    }
}

#[tokio::test]
async fn where_any_store_will_do_those_that_succeed_are_kept() {
    for step in [Step::Begin, Step::Write(0), Step::Write(3), Step::Commit] {
        let (good, bad, other) = (Fake::new("good", &[]), Fake::new("bad", &[step]), Fake::new("other", &[]));
        let ingested = ingest(&[&good, &bad, &other], Needed::Any).await.unwrap();
        assert_eq!(urls(&ingested), ["fake://good/one", "fake://other/one"], "{step:?}");
        let [lost] = &ingested.lost[..] else { panic!("{step:?}: {:?}", ingested.lost) };
        assert!(lost.id == "bad" && matches!(lost.error, StoreError::NoRoom { .. }), "{step:?}: {lost:?}");
        assert_eq!(good.content().unwrap(), pieces(5).concat());
        assert_eq!(other.content(), good.content());
        assert_eq!((bad.content(), bad.state().open), (None, 0), "{step:?} leaves something");
    }
}

#[tokio::test]
async fn where_no_store_is_left_the_data_is_refused() {
    for (one, other) in [(Step::Begin, Step::Commit), (Step::Write(1), Step::Write(2)), (Step::Commit, Step::Commit)] {
        let stores = [Fake::new("one", &[one]), Fake::new("other", &[other])];
        let error = ingest(&[&stores[0], &stores[1]], Needed::Any).await.unwrap_err();
        assert!(
            matches!(error, IngestError::Stores(FailedStores { error: StoreError::NoRoom { .. }, .. })),
            "{one:?}: {error}"
        );
        assert!(stores.iter().all(|store| store.content().is_none() && store.state().open == 0), "{one:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_removed_is_told_before_all_else() {
    // A draft that stays, and an object that stays.
    for (sticky, bad) in [(Step::Abort, Step::Write(1)), (Step::Delete, Step::Commit)] {
        let (sticky, bad) = (Fake::new("sticky", &[sticky]), Fake::new("bad", &[bad]));
        let error = ingest(&[&sticky, &bad], Needed::All).await.unwrap_err();
        assert!(matches!(error, IngestError::Stores(FailedStores { error: StoreError::LeftBehind(_), .. })), "{error}");
    }
    let sticky = Fake::new("sticky", &[Step::Abort]);
    let ingest = Ingest::begin(vec![sticky.destination()], &order(Needed::All)).await.unwrap();
    let poured = ingest.pour(source(&pieces(1)), WIDE).await.unwrap();
    assert!(matches!(poured.discard().await, Err(StoreError::LeftBehind(_))));
}

#[tokio::test]
async fn sizes_that_do_not_fit_are_refused_and_nothing_stays() {
    let mismatch = |announced| Order { announced: Some(announced), ..order(Needed::All) };
    let table = [
        (mismatch(4999), WIDE, "Size mismatch: expected 4999 bytes, got 5000 bytes"),
        (mismatch(-3), WIDE, "Size exceeds: expected -3 bytes, got 1000 bytes"),
        (mismatch(1 << 90), WIDE, "Size mismatch: expected 1237940039285380274899124224 bytes, got 5000 bytes"),
        (order(Needed::All), Allowance { most: 4999, remaining: None }, "more than 4999 bytes came"),
        (order(Needed::All), Allowance { most: 9999, remaining: Some(3500) }, "4000 bytes came where 3500 are left"),
    ];
    for (order, allowance, expected) in table {
        let store = Fake::new("store", &[]);
        let ingest = Ingest::begin(vec![store.destination()], &order).await.unwrap();
        let error = ingest.pour(source(&pieces(5)), allowance).await.err().unwrap();
        assert_eq!(error.to_string(), expected);
        assert_eq!((store.content(), store.state().open), (None, 0));
    }
}

#[tokio::test]
async fn a_source_that_breaks_leaves_nothing() {
    let store = Fake::new("store", &[]);
    let ingest = Ingest::begin(vec![store.destination()], &order(Needed::All)).await.unwrap();
    let broken = source(&pieces(3)).chain(stream::iter([Err(io::ErrorKind::ConnectionReset.into())]));
    let error = ingest.pour(broken, WIDE).await.err().unwrap();
    assert!(matches!(&error, IngestError::Source(cause) if cause.kind() == io::ErrorKind::ConnectionReset), "{error}");
    assert_eq!((store.content(), store.state().open), (None, 0));
}

#[tokio::test]
async fn a_store_is_told_what_is_announced_and_asked_for_what_is_certain() {
    let store = Fake::new("store", &[]);
    let order = Order { announced: Some(5000), length: Some(5000), ..order(Needed::All) };
    drop(Ingest::begin(vec![store.destination()], &order).await.unwrap());
    assert_eq!(store.state().announced, (Some(5000), Some(5000)));
    assert_eq!(store.state().open, 0, "a writer that is dropped removes what it wrote");
    let full = Fake::new("full", &[Step::Room]);
    let refused = Ingest::begin(vec![store.destination(), full.destination()], &order).await;
    assert!(matches!(refused.err(), Some(IngestError::Stores(FailedStores { error: StoreError::NoRoom { .. }, .. }))));
    assert_eq!(store.state().open, 0);
}

#[tokio::test]
async fn an_order_that_inspects_sees_what_the_data_is() {
    let store = Fake::new("store", &[]);
    let order = Order { inspects: true, ..order(Needed::All) };
    let ingest = Ingest::begin(vec![store.destination()], &order).await.unwrap();
    let poured = ingest.pour(source(&[Bytes::from(vec![0_u8; 4096])]), WIDE).await.unwrap();
    let options = crate::inspect::Options { require_image_format_match: true, gpt_safety_checks_nonfatal: Vec::new() };
    let verdict = poured.inspector.unwrap().finish().verdict("qcow2", &options);
    assert_eq!(verdict.unwrap_err().to_string(), "Image disk_format qcow2 does not match stream data raw");
}

#[tokio::test]
async fn data_that_no_store_is_to_get_is_refused() {
    for needed in [Needed::All, Needed::Any] {
        let refused = ingest(&[], needed).await.unwrap_err();
        assert!(matches!(refused, IngestError::Stores(FailedStores { error: StoreError::Io { .. }, .. })), "{refused}");
    }
}

/// Two file stores that are configured as an operator's are.
fn file_stores(place: &std::path::Path) -> Stores {
    let mut config = Config::default();
    config.default.enabled_backends = Some(["one", "two"].map(|id| (id.to_owned(), "file".to_owned())).to_vec());
    config.glance_store.default_backend = Some("one".to_owned());
    for id in ["one", "two", STAGING_STORE, TASKS_STORE] {
        let mut options = DriverOptions::default();
        options.set("filesystem_store_datadir", &[place.join(id).to_str().unwrap()]);
        config.stores.insert(id.to_owned(), StoreSection { options, ..StoreSection::default() });
    }
    Stores::open(&config).unwrap()
}

#[tokio::test]
async fn file_stores_get_the_same_file_or_none() {
    let place = tempfile::tempdir().unwrap();
    let stores = file_stores(place.path());
    let targets = || stores.public().map(|entry| Destination { id: entry.id.clone(), store: Arc::clone(&entry.store) });
    let data: Vec<Bytes> = (0..9).map(|number| Bytes::from(vec![number; 700_001])).collect();
    let file = |store: &str| std::fs::read(place.path().join(store).join("one")).ok();

    let ingest = Ingest::begin(targets().collect(), &order(Needed::All)).await.unwrap();
    let poured = ingest.pour(source(&data), WIDE).await.unwrap();
    assert_eq!((file("one"), file("two")), (None, None), "a file appears when it is whole");
    let ingested = poured.commit().await.unwrap();
    let of_store: Vec<_> = ingested.stored.iter().map(|stored| stored.metadata["store"].as_str().unwrap()).collect();
    assert_eq!(of_store, ["one", "two"]);
    for store in ["one", "two"] {
        assert!(file(store).unwrap() == data.concat(), "{store}");
    }

    // The name is taken in the second: neither keeps the new data, or the first alone does.
    std::fs::remove_file(place.path().join("one/one")).unwrap();
    let refused = Ingest::begin(targets().collect(), &order(Needed::All)).await.err().unwrap();
    assert!(
        matches!(refused, IngestError::Stores(FailedStores { error: StoreError::Duplicate { .. }, .. })),
        "{refused}"
    );
    assert_eq!(file("one"), None);
    let ingest = Ingest::begin(targets().collect(), &order(Needed::Any)).await.unwrap();
    let ingested = ingest.pour(source(&data[..1]), WIDE).await.unwrap().commit().await.unwrap();
    assert_eq!((ingested.stored.len(), ingested.lost[0].id.as_str()), (1, "two"));
    assert!(file("one").unwrap() == data[0] && file("two").unwrap() == data.concat());
}

#[tokio::test]
async fn in_the_background_no_thread_of_requests_sees_the_data() {
    let fake = Fake::new("a", &[]);
    let context = StoreContext::default().with_priority(Priority::Background);
    let order = Order { context, ..order(Needed::All) };
    let ingest = Ingest::begin(vec![fake.destination()], &order).await.unwrap();
    let own = std::thread::current().id();
    let data = source(&pieces(5)).inspect(move |_| assert_ne!(std::thread::current().id(), own));
    let poured = ingest.pour(data, WIDE).await.unwrap();
    assert_eq!(poured.commit().await.unwrap().size, 5000);
    let ingest = Ingest::begin(vec![fake.destination()], &order).await.unwrap();
    let data = stream::iter([Err(io::ErrorKind::TimedOut.into())]);
    assert!(matches!(ingest.pour(data, WIDE).await, Err(IngestError::Source(_))));
}

#[tokio::test]
async fn a_store_that_stands_still_is_left_out_where_another_will_do() {
    let good = Fake::new("good", &[]);
    let (still, permits) = Fake::slow("still");
    permits.add_permits(2);
    let ingested = ingest(&[&good, &still], Needed::Any).await.unwrap();
    assert_eq!(urls(&ingested), ["fake://good/one"]);
    assert_eq!(good.content().unwrap(), pieces(5).concat());
    let [lost] = &ingested.lost[..] else { panic!("{:?}", ingested.lost) };
    assert!(lost.id == "still" && lost.leaves_something(), "{lost:?}");
    assert_eq!((still.content(), still.state().open), (None, 0));
}

/// Stores of which any will do make data durable one after the other.
async fn ingest_in_turn(stores: &[Fake]) -> Result<Ingested, IngestError> {
    let order = Order { at_once: 1, ..order(Needed::Any) };
    let ingest = Ingest::begin(stores.iter().map(Fake::destination).collect(), &order).await.unwrap();
    let poured = ingest.pour(source(&pieces(1)), WIDE).await.unwrap();
    timeout(Duration::from_secs(60), poured.commit()).await.expect("a store that hangs is waited for without bound")
}

#[tokio::test]
async fn a_store_that_hangs_in_its_turn_is_left_out_and_others_have_theirs() {
    let (good, other) = (|| Fake::new("good", &[]), || Fake::new("other", &[]));
    let hanging = || Fake::hanging("hanging");
    for stores in [vec![good(), hanging()], vec![hanging(), good()], vec![good(), hanging(), other()]] {
        let ingested = ingest_in_turn(&stores).await.unwrap();
        let [lost] = &ingested.lost[..] else { panic!("{:?}", ingested.lost) };
        assert!(lost.id == "hanging" && lost.leaves_something(), "{lost:?}");
        assert_eq!(ingested.stored.len(), stores.len() - 1);
        assert!(stores.iter().all(|store| store.state().is_committing && store.state().open == 0));
    }
}

#[tokio::test]
async fn what_a_store_that_hung_may_have_is_told_when_the_others_fail() {
    let error = ingest_in_turn(&[Fake::hanging("hanging"), Fake::new("bad", &[Step::Commit])]).await.unwrap_err();
    let IngestError::Stores(FailedStores { ids, error }) = error else { panic!("{error}") };
    assert!(ids == ["hanging", "bad"] && matches!(error, StoreError::LeftBehind(_)), "{ids:?} {error}");
}
