//! What every driver must do, whatever lies behind it. Each driver's tests call the functions that apply to it.

use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Capability, Location, Reader, Store, StoreContext, StoreError};

pub(super) const IMAGE: &str = "b3a0c2d4-0000-4000-8000-00000000000a";

/// All bytes of a reader.
pub(super) async fn read(reader: Reader) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut pieces = match reader {
        Reader::File(region) => {
            data.resize(usize::try_from(region.length).unwrap(), 0);
            region.file.read_exact_at(&mut data, region.offset)?;
            return Ok(data);
        }
        other => other.into_stream(super::Priority::Request),
    };
    while let Some(piece) = pieces.next().await {
        data.extend_from_slice(&piece?);
    }
    Ok(data)
}

/// Bytes without a short period.
pub(super) fn pattern(size: usize) -> Bytes {
    (0_u64..size as u64).map(|place| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// Data of many sizes, cut in many ways, comes back as it was; then it can be deleted, once.
pub(super) async fn round_trips(store: &dyn Store) {
    assert!(store.can_add());
    for (size, piece, announced) in [
        (0, 1, false),
        (1, 1, true),
        (65_536, 65_536, true),
        (100_001, 777, false),
        (5_000_000, 70_000, true),
        (9_437_184, 1 << 20, false),
    ] {
        let data = pattern(size);
        let mut writer = store.begin(&StoreContext::default(), IMAGE, announced.then_some(size as u64)).await.unwrap();
        for start in (0..size).step_by(piece) {
            writer.write(data.slice(start..(start + piece).min(size))).await.unwrap();
        }
        let stored = writer.commit().await.unwrap();
        assert_eq!(stored.size, size as u64);
        assert!(store.owns(&stored.url), "the store does not know its own URL");
        assert!(store.candidates(IMAGE).await.unwrap().contains(&stored.url));

        let location = Location::parse(&stored.url).unwrap();
        assert_eq!(store.size(&StoreContext::default(), &location).await.unwrap(), size as u64);
        let back = read(store.open(&StoreContext::default(), &location, None).await.unwrap()).await.unwrap();
        assert!(back == data, "{size} bytes came back as {} other ones", back.len());
        store.delete(&StoreContext::default(), &location).await.unwrap();
        missing(store, &location).await;
    }
}

/// Every way to ask for nothing answers `NotFound`.
pub(super) async fn missing(store: &dyn Store, location: &Location) {
    assert!(matches!(store.open(&StoreContext::default(), location, None).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.size(&StoreContext::default(), location).await, Err(StoreError::NotFound { .. })));
    if store.can_add() {
        assert!(matches!(store.delete(&StoreContext::default(), location).await, Err(StoreError::NotFound { .. })));
    }
}

/// Ranges are exact, and clamped at the end.
pub(super) async fn ranges(store: &dyn Store) {
    assert!(store.can_seek());
    let data = pattern(1_000_000);
    let location = put(store, IMAGE, data.clone()).await;
    for (range, expected) in [
        (0..1, 0..1),
        (999_999..1_000_000, 999_999..1_000_000),
        (0..1_000_000, 0..1_000_000),
        (4095..700_001, 4095..700_001),
        (999_990..2_000_000, 999_990..1_000_000),
        (1_000_000..1_000_010, 0..0),
        (5_000_000..5_000_001, 0..0),
    ] {
        let back =
            read(store.open(&StoreContext::default(), &location, Some(range.clone())).await.unwrap()).await.unwrap();
        assert!(back == data[expected], "{range:?}");
    }
    store.delete(&StoreContext::default(), &location).await.unwrap();
}

/// A write that does not end well leaves nothing, and the name is free again.
pub(super) async fn undone(store: &dyn Store) {
    let location = Location::parse(&store.candidates(IMAGE).await.unwrap()[0]).unwrap();
    for size in [0, 10, 3_000_000] {
        let mut writer = store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
        writer.write(pattern(size)).await.unwrap();
        writer.abort().await.unwrap();
        missing(store, &location).await;

        let mut writer = store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
        writer.write(pattern(size)).await.unwrap();
        drop(writer);
        missing(store, &location).await;

        let mut writer = store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
        writer.write(pattern(size)).await.unwrap();
        drop(writer.commit());
        missing(store, &location).await;
    }
    put(store, IMAGE, pattern(10)).await;
    store.delete(&StoreContext::default(), &location).await.unwrap();
}

/// An object is never replaced, neither by a late starter nor by a late finisher.
pub(super) async fn never_replaced(store: &dyn Store) {
    let mut late = store.begin(&StoreContext::default(), IMAGE, None).await.unwrap();
    late.write(Bytes::from_static(b"late")).await.unwrap();
    let location = put(store, IMAGE, Bytes::from_static(b"first")).await;
    assert!(matches!(
        store.begin(&StoreContext::default(), IMAGE, None).await.err(),
        Some(StoreError::Duplicate { .. })
    ));
    assert!(matches!(late.commit().await, Err(StoreError::Duplicate { .. })));
    assert_eq!(read(store.open(&StoreContext::default(), &location, None).await.unwrap()).await.unwrap(), b"first");
    store.delete(&StoreContext::default(), &location).await.unwrap();
}

/// An announced size is held to, in upstream's words; 0 announces nothing.
pub(super) async fn announced_sizes(store: &dyn Store) {
    let location = Location::parse(&store.candidates(IMAGE).await.unwrap()[0]).unwrap();
    let mut writer = store.begin(&StoreContext::default(), IMAGE, Some(5)).await.unwrap();
    writer.write(Bytes::from_static(b"123")).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert_eq!(error.to_string(), "Size mismatch: expected 5 bytes, got 3 bytes");
    missing(store, &location).await;

    let mut writer = store.begin(&StoreContext::default(), IMAGE, Some(5)).await.unwrap();
    writer.write(Bytes::from_static(b"123")).await.unwrap();
    let error = writer.write(Bytes::from_static(b"456")).await.unwrap_err();
    assert_eq!(error.to_string(), "Size exceeds: expected 5 bytes, got 6 bytes");
    assert!(writer.write(Bytes::from_static(b"7")).await.is_err());
    assert!(writer.commit().await.is_err());
    missing(store, &location).await;

    let mut writer = store.begin(&StoreContext::default(), IMAGE, Some(0)).await.unwrap();
    writer.write(Bytes::from_static(b"123")).await.unwrap();
    assert_eq!(writer.commit().await.unwrap().size, 3);
    store.delete(&StoreContext::default(), &location).await.unwrap();
}

/// Ids that are no plain names never reach the storage.
pub(super) async fn odd_ids(store: &dyn Store) {
    for id in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "a b", "é", &"x".repeat(300)] {
        assert!(
            matches!(store.begin(&StoreContext::default(), id, None).await.err(), Some(StoreError::BadLocation { .. })),
            "{id:?}"
        );
        assert!(store.candidates(id).await.unwrap().is_empty(), "{id:?}");
    }
}

/// A store that takes no data says so with the error that upstream has for it.
pub(super) async fn read_only(store: &dyn Store, location: &Location) {
    assert!(!store.can_add());
    assert!(matches!(
        store.begin(&StoreContext::default(), IMAGE, None).await.err(),
        Some(StoreError::AddDisabled { .. })
    ));
    let error = store.delete(&StoreContext::default(), location).await.unwrap_err();
    assert!(matches!(error, StoreError::Unsupported { capability: Capability::Delete, .. }), "{error}");
}

/// Writes an object and returns its location.
pub(super) async fn put(store: &dyn Store, id: &str, data: Bytes) -> Location {
    let mut writer = store.begin(&StoreContext::default(), id, None).await.unwrap();
    writer.write(data).await.unwrap();
    Location::parse(&writer.commit().await.unwrap().url).unwrap()
}
