//! Compression of answers, in pipelines that ask for it (upstream: `glance/api/middleware/gzip.py`).

use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderValue};
use http::{Method, StatusCode};
use tokio::task::spawn_blocking;

use crate::api::{Body, Error, Response};
use crate::http::exchange::Exchange;
use crate::image::Sending;
use crate::store::{Priority, Reader};

/// Bytes of a file that are compressed at a time.
const STEP: usize = 256 * 1024;

type Encoder = GzEncoder<Vec<u8>>;

/// Compresses the answer if the client takes gzip. Documents stay whole, with their new length; image data is compressed on
/// its way. A part of an image and an answer without a body stay as they are, as does what is compressed already.
///
/// # Errors
/// 500 when a document cannot be compressed.
pub(in crate::http) async fn compress(exchange: &Exchange, response: Response) -> Result<Response, Error> {
    let is_bare = matches!(response.body(), Body::Empty) || exchange.method == Method::HEAD;
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    if is_bare || is_part || response.headers().contains_key(CONTENT_ENCODING) || !accepts_gzip(exchange) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(CONTENT_LENGTH);
    // The validator is that of the data as it is: a client must not put parts of both together (RFC 9110, 8.8.3.3).
    let weak = parts.headers.get(ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    let weak = weak.and_then(|etag| HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()).ok());
    if let Some(etag) = weak {
        parts.headers.insert(ETAG, etag);
    }
    // What leaves is not as long as the data.
    if let Some(sending) = parts.extensions.get_mut::<Sending>() {
        sending.expected = None;
    }
    let body = match body {
        Body::Empty => Body::Empty,
        Body::Bytes(bytes) => Body::Bytes(whole(bytes).await.map_err(Error::internal)?),
        Body::Data { reader, .. } => Body::Data { reader: lazily(reader), length: None },
    };
    Ok(Response::from_parts(parts, body))
}

fn accepts_gzip(exchange: &Exchange) -> bool {
    let values = exchange.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32)));
        named && !refused
    })
}

async fn whole(bytes: Bytes) -> io::Result<Bytes> {
    let compressed = blocking(move || {
        let mut encoder = encoder();
        encoder.write_all(&bytes)?;
        encoder.finish()
    });
    compressed.await.map(Bytes::from)
}

/// The data as it comes, compressed piece by piece on a thread that may block.
fn lazily(reader: Reader) -> Reader {
    let compressed = stream::try_unfold(Some((reader, encoder())), |state| async move {
        let Some((mut reader, mut encoder)) = state else { return Ok(None) };
        loop {
            let Some(piece) = next_piece(&mut reader).await? else {
                let rest = blocking(move || encoder.finish()).await?;
                return Ok(Some((Bytes::from(rest), None)));
            };
            let (done, returned) = blocking(move || {
                encoder.write_all(&piece)?;
                let done = std::mem::take(encoder.get_mut());
                Ok((done, encoder))
            })
            .await?;
            encoder = returned;
            if !done.is_empty() {
                return Ok(Some((Bytes::from(done), Some((reader, encoder)))));
            }
        }
    });
    Reader::Stream(Box::pin(compressed))
}

async fn next_piece(reader: &mut Reader) -> io::Result<Option<Bytes>> {
    if matches!(reader, Reader::Pieces(_)) {
        let pieces = std::mem::replace(reader, Reader::Stream(Box::pin(stream::empty())));
        *reader = Reader::Stream(pieces.into_stream(Priority::Request));
    }
    let region = match reader {
        Reader::Pieces(_) => return Ok(None),
        Reader::Stream(stream) => return stream.next().await.transpose(),
        Reader::File(region) if region.length == 0 => return Ok(None),
        Reader::File(region) => region,
    };
    let wanted = usize::try_from(region.length).unwrap_or(STEP).min(STEP);
    let (file, offset) = (region.file.clone(), region.offset);
    let piece = blocking(move || {
        let mut piece = vec![0; wanted];
        file.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    })
    .await?;
    region.offset += piece.len() as u64;
    region.length -= piece.len() as u64;
    Ok(Some(Bytes::from(piece)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn encoder() -> Encoder {
    GzEncoder::new(Vec::new(), Compression::default())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::http::exchange::tests::exchange;
    use crate::store::{FileRegion, OpenFile};

    async fn collect(response: Response) -> (bool, Option<u64>, Vec<u8>) {
        let is_encoded = response.headers().get(CONTENT_ENCODING).is_some();
        let (bytes, length) = match response.into_body() {
            Body::Empty => (Vec::new(), Some(0)),
            Body::Bytes(bytes) => (bytes.to_vec(), Some(bytes.len() as u64)),
            Body::Data { mut reader, length } => {
                let mut bytes = Vec::new();
                while let Some(piece) = next_piece(&mut reader).await.unwrap() {
                    bytes.extend_from_slice(&piece);
                }
                (bytes, length)
            }
        };
        let mut plain = Vec::new();
        if is_encoded {
            GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        } else {
            plain = bytes;
        }
        (is_encoded, length, plain)
    }

    #[tokio::test]
    async fn answers_are_compressed_for_clients_that_take_it() {
        for (accept, status, expected) in [
            ("gzip", 200, true),
            ("deflate, gzip;q=0.5", 200, true),
            ("GZIP", 200, true),
            ("gzip;q=0", 200, false),
            ("identity", 200, false),
            ("gzip", 206, false),
        ] {
            let mut response = Response::new(Body::Bytes(Bytes::from_static(b"some text")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(ETAG, HeaderValue::from_static("\"a\""));
            let exchange = exchange("GET", "/", &[("accept-encoding", accept)]);
            let response = compress(&exchange, response).await.unwrap();
            assert_eq!(response.headers()[ETAG], if expected { "W/\"a\"" } else { "\"a\"" });
            let (is_encoded, length, plain) = collect(response).await;
            assert_eq!((is_encoded, plain.as_slice()), (expected, &b"some text"[..]), "{accept}");
            assert!(length.is_some());
        }
        let exchange = exchange("GET", "/", &[("accept-encoding", "gzip")]);
        let (is_encoded, ..) = collect(compress(&exchange, Response::new(Body::Empty)).await.unwrap()).await;
        assert!(!is_encoded);
    }

    #[tokio::test]
    async fn image_data_is_compressed_on_its_way() {
        let data: Vec<u8> = (0..3 * STEP as u32 + 17).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"skip").unwrap();
        file.write_all(&data).unwrap();
        let region = FileRegion { file: OpenFile::shared(file), offset: 4, length: data.len() as u64 };
        let pieces: Vec<_> = data.chunks(100_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        for reader in [Reader::File(region), Reader::Stream(Box::pin(stream::iter(pieces)))] {
            let response = Response::new(Body::Data { reader, length: Some(data.len() as u64) });
            let exchange = exchange("GET", "/", &[("accept-encoding", "gzip")]);
            let (is_encoded, length, plain) = collect(compress(&exchange, response).await.unwrap()).await;
            assert!(is_encoded && length.is_none() && plain == data);
        }
    }
}
