use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::StreamBody;

use super::*;
use crate::api::Text;
use crate::api::fake::{body, headers};

async fn read(
    documents: &Documents,
    headers: &HeaderMap,
    body: RequestBody,
    limit: u64,
) -> Result<Option<Value>, Error> {
    let held = documents.read(headers, body, limit, |value, _| Ok(value)).await?;
    Ok(held.map(|held| held.content))
}

fn explanation(error: &Error) -> &str {
    match &error.text {
        Text::Explanation(text) | Text::Detail(text) | Text::Whole(text) => text,
        Text::Stock => "",
    }
}

/// Texts and rules as a running upstream showed them for `POST /v2/images`.
#[tokio::test]
async fn bodies_are_read_as_upstream_reads_them() {
    let malformed = Err("Malformed JSON in request body.");
    let wrong_type = Err("Unexpected body type. Expected list/dict.");
    let some = |text: &str| Ok(Some(serde_json::from_str::<Value>(text).unwrap()));
    for (pairs, bytes, expected) in [
        (&[("content-length", "0")][..], &b""[..], Ok(None)),
        (&[], b"", Ok(None)),
        (&[("content-length", "2")], b"{}", some("{}")),
        (&[("content-length", "2")], b"[]", some("[]")),
        (&[("content-length", "9")], b" {\"a\":1}\n", some("{\"a\": 1}")),
        (&[("content-length", "13")], b"{\"a\":1,\"a\":2}", some("{\"a\": 2}")),
        (&[("content-length", "1")], b"1", wrong_type.clone()),
        (&[("content-length", "3")], b"\"x\"", wrong_type.clone()),
        (&[("content-length", "4")], b"null", wrong_type),
        (&[("content-length", "1")], b"x", malformed.clone()),
        (&[("content-length", "8")], b"{\"\xff\": 1}", malformed.clone()),
        (&[("content-length", "5")], b"\xef\xbb\xbf{}", malformed.clone()),
        (&[("transfer-encoding", "chunked")], b"", malformed.clone()),
        (&[("transfer-encoding", "Chunked")], b"{}", some("{}")),
        (&[("transfer-encoding", "gzip")], b"", malformed),
        (&[("transfer-encoding", "br")], b"", Ok(None)),
        (&[], b"{}", some("{}")),
    ] {
        let read = read(&Documents::new(100), &headers(pairs), body(bytes), 100).await;
        let read = read.map_err(|error| explanation(&error).to_owned());
        assert_eq!(read, expected.map_err(str::to_owned), "{pairs:?} {bytes:?}");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_not_kept() {
    for (pairs, bytes) in [(&[][..], &b"[1,2,3]"[..]), (&[("content-length", "7")], b"")] {
        let error = read(&Documents::new(6), &headers(pairs), body(bytes), 6).await.unwrap_err();
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(explanation(&error), "Request is too large. Larger than 6.");
    }
    assert!(read(&Documents::new(7), &headers(&[]), body("[1,2,3]"), 7).await.is_ok());
}

#[tokio::test]
async fn an_interrupted_body_keeps_its_cause() {
    for (kind, status) in [
        (io::ErrorKind::TimedOut, StatusCode::REQUEST_TIMEOUT),
        (io::ErrorKind::UnexpectedEof, StatusCode::BAD_REQUEST),
    ] {
        let stream = futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(io::Error::from(kind))]);
        let error = read(&Documents::new(10), &headers(&[]), Box::pin(StreamBody::new(stream)), 10).await.unwrap_err();
        assert_eq!(error.status, status);
        assert!(error.cause.is_some());
    }
}

fn list(items: usize) -> Vec<u8> {
    format!("[{}0]", "0,".repeat(items - 1)).into_bytes()
}

#[tokio::test]
async fn a_document_of_too_many_values_is_refused() {
    let documents = Documents::new(1 << 20);
    let most = VALUES_MAX - 1;
    let value = read(&documents, &headers(&[]), body(list(most)), 1 << 20).await.unwrap().unwrap();
    assert_eq!(value.as_array().map(Vec::len), Some(most));
    let error = read(&documents, &headers(&[]), body(list(most + 1)), 1 << 20).await.unwrap_err();
    assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(explanation(&error), "Request is too large. It has more than 65536 values.");
    let cut_short = [list(most + 1).as_slice(), b"["].concat();
    let error = read(&documents, &headers(&[]), body(cut_short), 1 << 20).await.unwrap_err();
    assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE, "what comes after is not read any more");
}

#[tokio::test]
async fn larger_documents_share_the_memory() {
    let documents = Documents::with(16 << 20, 4, Duration::from_millis(100), SLOW);
    let none = HeaderMap::new();
    let read_one = || documents.read(&none, body(list(50_000)), 1 << 20, |value, _| Ok(value));
    let first = read_one().await.unwrap();
    let busy = read_one().await.map(|_| ()).unwrap_err();
    assert_eq!(busy.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(read(&documents, &headers(&[]), body("[1]"), 100).await.is_ok(), "a small one takes no share");
    drop(first);
    assert!(read_one().await.is_ok());
    assert_eq!(documents.memory.free.available_permits(), documents.memory.units);
}

/// Half of a large body waits for the other half, which never comes.
#[tokio::test]
async fn a_body_takes_only_a_share_for_what_has_come() {
    let documents = Documents::with(4 << 20, 1, Duration::from_millis(100), SLOW);
    let stream = |chunks: usize| {
        let chunk = || Ok::<_, io::Error>(http_body::Frame::data(Bytes::from(vec![b' '; 64 << 10])));
        StreamBody::new(futures_util::stream::iter((0..chunks).map(move |_| chunk())))
    };
    let mut share = Share { permit: None, memory: Arc::clone(&documents.memory) };
    documents.collect(Box::pin(stream(2)), 8 << 20, &mut share).await.unwrap();
    assert_eq!(share.permits(), 0);
    documents.collect(Box::pin(stream(17)), 8 << 20, &mut share).await.unwrap();
    assert_eq!(share.permits() * UNIT, 2 << 20);
    let mut other = Share { permit: None, memory: Arc::clone(&documents.memory) };
    let error = documents.collect(Box::pin(stream(40)), 8 << 20, &mut other).await.unwrap_err();
    assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Clients who send a byte now and then have all the memory, when one comes who sends at once.
#[tokio::test]
async fn slow_clients_give_way_and_fast_ones_do_not() {
    let documents = Arc::new(Documents::with(16 << 20, 1, Duration::from_secs(10), 4 << 20));
    let dripping = || {
        let begin = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from(vec![b' '; 1 << 20]))]);
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok(Bytes::from_static(b" ")), ()))
        });
        let frames = futures_util::StreamExt::chain(begin, drip);
        StreamBody::new(futures_util::StreamExt::map(frames, |data| data.map(http_body::Frame::data)))
    };
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (documents, body) = (Arc::clone(&documents), Box::pin(dripping()));
        slow.spawn(async move { documents.read(&HeaderMap::new(), body, 8 << 20, |_, _| Ok(())).await.map(|_| ()) });
    }
    let settled = async {
        while documents.memory.free.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), settled).await.expect("the slow ones have all of it");
    assert!(timeout(Duration::from_millis(1500), slow.join_next()).await.is_err(), "nobody needs the memory");
    assert!(read(&documents, &headers(&[]), body(list(50_000)), 1 << 20).await.is_ok());
    let refused = slow.join_next().await.unwrap().unwrap();
    assert_eq!(refused.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    slow.shutdown().await;
    assert_eq!(*documents.memory.waiting.borrow(), 0);

    // One who sends all of it at once keeps his share.
    let _others = documents.memory.wait();
    let large = [vec![b' '; 1 << 20].as_slice(), b"[1]"].concat();
    assert!(read(&documents, &headers(&[]), body(large), 2 << 20).await.is_ok());
}

#[tokio::test]
async fn work_on_a_large_document_is_elsewhere_and_ends_when_nobody_waits() {
    let documents = Arc::new(Documents::with(16 << 20, 1, Duration::from_millis(50), SLOW));
    let ended = Arc::new(AtomicBool::new(false));
    let (started, start) = tokio::sync::oneshot::channel();
    let (inside, flag) = (Arc::clone(&documents), Arc::clone(&ended));
    let request = tokio::spawn(async move {
        let work = move |_, progress: &Progress| {
            started.send(()).unwrap();
            while !progress.is_abandoned() {
                std::thread::yield_now();
            }
            flag.store(true, Relaxed);
            Err::<(), _>(Refusal::Abandoned.into())
        };
        inside.read(&HeaderMap::new(), body(list(50_000)), 1 << 20, work).await.map(|_| ())
    });
    start.await.unwrap();
    // The runtime of this test has one thread, and it is free.
    let busy = documents.read(&HeaderMap::new(), body(list(2_000)), 1 << 20, |_, _| Ok(())).await.map(|_| ());
    assert_eq!(busy.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE, "the only thread is taken");
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    let none = HeaderMap::new();
    let next = documents.read(&none, body(list(2_000)), 1 << 20, |_, _| Ok(()));
    assert!(timeout(Duration::from_secs(10), next).await.unwrap().is_ok());
    assert!(ended.load(Relaxed));
}
