//! The body of a response as hyper reads it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

use super::chunk::Chunk;
use super::lane::Lane;
use super::region::RegionReader;
use super::tally::Tally;
use crate::api;
use crate::http::AccessRecord;
use crate::service::connection::activity::Flight;
use crate::store::{FileRegion, Piece, Reader};

/// Carries the bytes, the account of them and the request's place among those in flight.
pub(in crate::service) struct ResponseBody {
    source: Source,
    /// Bytes still to be handed to hyper, where that is known.
    left: Option<u64>,
    tally: Arc<Tally>,
}

enum Source {
    /// Nothing, or nothing more.
    End,
    /// The head alone goes out, as if this body followed.
    Withheld,
    /// Cut off.
    Failed,
    Bytes(Bytes),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    Copy(RegionReader),
    Pieces {
        pieces: Pin<Box<dyn Stream<Item = io::Result<Piece>> + Send>>,
        lane: Option<Lane>,
        /// The region that is being copied, where there is no lane.
        copied: Option<RegionReader>,
    },
    SendFile(FileRegion, Lane),
}

impl ResponseBody {
    /// `withheld`: the protocol allows no body here (HEAD, 204, 304). `lane`: the connection can send files itself.
    pub(in crate::service) fn new(
        body: api::Body,
        withheld: bool,
        lane: Option<Lane>,
        record: Option<AccessRecord>,
        flight: Flight,
    ) -> Self {
        let (source, left) = match body {
            api::Body::Empty => (Source::End, Some(0)),
            api::Body::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (if bytes.is_empty() { Source::End } else { Source::Bytes(bytes) }, Some(length))
            }
            api::Body::Data { reader: Reader::Stream(stream), length } => (Source::Stream(stream), length),
            api::Body::Data { reader: Reader::Pieces(pieces), length } => {
                // A region is given to the socket as it is only where hyper frames by the length that was announced.
                let lane = lane.filter(|_| length.is_some());
                (Source::Pieces { pieces, lane, copied: None }, length)
            }
            api::Body::Data { reader: Reader::File(mut region), length } => {
                let length = length.unwrap_or(region.length);
                // A file that is longer than the image ends with it; one that is shorter breaks the response.
                region.length = region.length.min(length);
                let source = match lane {
                    _ if region.length == 0 => Source::End,
                    Some(lane) => Source::SendFile(region, lane),
                    None => Source::Copy(RegionReader::new(region)),
                };
                (source, Some(length))
            }
        };
        let source = if withheld { Source::Withheld } else { source };
        Self { source, left, tally: Arc::new(Tally::new(record, flight)) }
    }

    /// Whether hyper has been given everything that was announced.
    fn is_complete(&self) -> bool {
        self.left.map_or_else(|| matches!(self.source, Source::End), |left| left == 0)
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Chunk>>> {
        let tally = Arc::clone(&self.tally);
        match &mut self.source {
            Source::End | Source::Withheld | Source::Failed => Poll::Ready(None),
            Source::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::End;
                Poll::Ready(Some(Ok(Chunk::memory(bytes, tally))))
            }
            Source::Stream(stream) => loop {
                match ready!(stream.as_mut().poll_next(context)) {
                    Some(Ok(bytes)) if bytes.is_empty() => {}
                    Some(Ok(mut bytes)) => {
                        // It ends with the image, as a file does: more would be the start of the next response in the
                        // client's eyes.
                        let left = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
                        bytes.truncate(left);
                        return Poll::Ready(Some(Ok(Chunk::memory(bytes, tally))));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                }
            },
            Source::Copy(reader) => match ready!(reader.poll_chunk(context)) {
                Some(Ok(bytes)) => {
                    if reader.left() == 0 {
                        self.source = Source::End;
                    }
                    Poll::Ready(Some(Ok(Chunk::memory(bytes, tally))))
                }
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => Poll::Ready(None),
            },
            Source::Pieces { pieces, lane, copied } => loop {
                if let Some(reader) = copied {
                    if let Some(chunk) = ready!(reader.poll_chunk(context)) {
                        return Poll::Ready(Some(chunk.map(|bytes| Chunk::memory(bytes, tally))));
                    }
                    *copied = None;
                }
                let left = self.left.unwrap_or(u64::MAX);
                match ready!(pieces.as_mut().poll_next(context)) {
                    Some(Ok(Piece::Bytes(mut bytes))) => {
                        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        if !bytes.is_empty() {
                            return Poll::Ready(Some(Ok(Chunk::memory(bytes, tally))));
                        }
                    }
                    Some(Ok(Piece::Region(mut region))) => {
                        region.length = region.length.min(left);
                        match lane {
                            _ if region.length == 0 => {}
                            Some(lane) => {
                                let length = usize::try_from(region.length).unwrap_or(usize::MAX);
                                lane.push(region);
                                return Poll::Ready(Some(Ok(Chunk::region(length, tally))));
                            }
                            None => *copied = Some(RegionReader::new(region)),
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                }
            },
            Source::SendFile(region, lane) => {
                let length = usize::try_from(region.length).unwrap_or(usize::MAX);
                lane.push(region.clone());
                self.source = Source::End;
                Poll::Ready(Some(Ok(Chunk::region(length, tally))))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, io::Error>>> {
        if self.is_complete() {
            return Poll::Ready(None);
        }
        match ready!(self.poll_source(context)) {
            Some(Ok(chunk)) => {
                let length = bytes::Buf::remaining(&chunk) as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "image data could not be read, the response is cut off");
                self.source = Source::Failed;
                Poll::Ready(Some(Err(error)))
            }
            None if self.left.is_some_and(|left| left > 0)
                && !matches!(self.source, Source::Withheld | Source::Failed) =>
            {
                let words = "the store returned fewer bytes than the image has";
                tracing::warn!(missing = self.left, "{words}, the response is cut off");
                self.source = Source::Failed;
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words))))
            }
            None => {
                if !matches!(self.source, Source::Failed) {
                    self.source = Source::End;
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // hyper announces the length of a withheld body only if the body seems to have bytes.
        self.is_complete() || matches!(self.source, Source::Failed)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper does not ask for the end once it has as many bytes as were announced.
        if self.is_complete() || matches!(self.source, Source::Withheld) {
            self.tally.ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Buf;
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::service::connection::activity::Activity;
    use crate::service::counters::Counters;
    use crate::store::OpenFile;

    fn flight() -> (Arc<Activity>, Flight) {
        let activity = Activity::new(Arc::new(Counters::default()));
        let flight = activity.begin();
        (activity, flight)
    }

    fn streamed(parts: &[&'static str], length: Option<u64>) -> api::Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        api::Body::Data { reader: Reader::Stream(Box::pin(stream::iter(parts))), length }
    }

    async fn read(body: api::Body) -> Result<String, io::ErrorKind> {
        let (_, flight) = flight();
        let body = ResponseBody::new(body, false, None, None, flight);
        let mut collected = body.collect().await.map_err(|error| error.kind())?.aggregate();
        Ok(String::from_utf8(collected.copy_to_bytes(collected.remaining()).to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_announced_length_is_kept_or_the_response_breaks() {
        assert_eq!(read(api::Body::Empty).await, Ok(String::new()));
        assert_eq!(read(api::Body::Bytes(Bytes::from_static(b"abc"))).await, Ok("abc".to_owned()));
        assert_eq!(read(streamed(&["ab", "", "c"], Some(3))).await, Ok("abc".to_owned()));
        assert_eq!(read(streamed(&["ab", "c"], None)).await, Ok("abc".to_owned()));
        assert_eq!(read(streamed(&["ab"], Some(3))).await, Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(streamed(&["ab", "cd", "e"], Some(3))).await, Ok("abc".to_owned()));
    }

    #[tokio::test]
    async fn a_file_of_another_length_than_the_image_never_seems_whole() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = OpenFile::shared(file);
        let data = |length: u64, announced| {
            let region = FileRegion { file: Arc::clone(&file), offset: 0, length };
            api::Body::Data { reader: Reader::File(region), length: announced }
        };
        assert_eq!(read(data(10, None)).await, Ok("0123456789".to_owned()));
        assert_eq!(read(data(10, Some(4))).await, Ok("0123".to_owned()));
        assert_eq!(read(data(10, Some(0))).await, Ok(String::new()));
        assert_eq!(read(data(10, Some(11))).await, Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(data(0, Some(1))).await, Err(io::ErrorKind::UnexpectedEof));

        let (_, flight) = flight();
        let mut body = ResponseBody::new(data(10, Some(11)), false, Some(Lane::default()), None, flight);
        assert_eq!(body.size_hint().exact(), Some(11));
        body.frame().await.unwrap().unwrap();
        assert!(!body.is_end_stream());
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_region_goes_by_the_lane_where_there_is_one() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let region = FileRegion { file: OpenFile::shared(file), offset: 2, length: 5 };
        let data = || api::Body::Data { reader: Reader::File(region.clone()), length: Some(5) };
        assert_eq!(read(data()).await, Ok("23456".to_owned()));

        let lane = Lane::default();
        let (activity, flight) = flight();
        let mut body = ResponseBody::new(data(), false, Some(lane.clone()), None, flight);
        assert_eq!(body.size_hint().exact(), Some(5));
        let mut chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(super::super::is_sentinel(chunk.chunk()) && chunk.remaining() == 5);
        assert_eq!(lane.window(5).unwrap().region.offset, 2);
        assert!(body.is_end_stream());
        drop(body);
        assert!(activity.idle_for().is_none(), "the request lives until its bytes are gone");
        chunk.advance(5);
        drop(chunk);
        assert!(activity.idle_for().is_some());
    }

    #[tokio::test]
    async fn pieces_of_a_growing_file_leave_as_regions_where_there_is_a_lane() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = OpenFile::shared(file);
        let data = |length| {
            let region = |offset, length| Ok(Piece::Region(FileRegion { file: Arc::clone(&file), offset, length }));
            let pieces = [region(0, 4), region(4, 0), Ok(Piece::Bytes(Bytes::from_static(b"ab"))), region(6, 4)];
            api::Body::Data { reader: Reader::Pieces(Box::pin(stream::iter(pieces))), length }
        };
        assert_eq!(read(data(Some(10))).await, Ok("0123ab6789".to_owned()));
        assert_eq!(read(data(None)).await, Ok("0123ab6789".to_owned()));
        assert_eq!(read(data(Some(8))).await, Ok("0123ab67".to_owned()), "it ends with the image");
        assert_eq!(read(data(Some(11))).await, Err(io::ErrorKind::UnexpectedEof));

        let (lane, (_, flight)) = (Lane::default(), flight());
        let mut body = ResponseBody::new(data(Some(8)), false, Some(lane.clone()), None, flight);
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let chunk = frame.unwrap().into_data().unwrap();
            seen.push((super::super::is_sentinel(chunk.chunk()), chunk.remaining()));
        }
        assert_eq!(seen, [(true, 4), (false, 2), (true, 2)]);
        assert_eq!(lane.window(4).unwrap().region.offset, 0);
        lane.sent(4);
        assert_eq!(lane.window(2).unwrap().region.offset, 6);
    }

    #[tokio::test]
    async fn a_body_that_may_not_be_sent_announces_its_length_only() {
        let (_, flight) = flight();
        let mut body = ResponseBody::new(api::Body::Bytes(Bytes::from_static(b"abc")), true, None, None, flight);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(body.frame().await.is_none());
    }
}
