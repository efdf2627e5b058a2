//! The lines of a request's head: limits on their length (`max_header_line`), and targets in the form that hyper takes.

use ::http::{Request, StatusCode};

use super::Activity;
use super::position::{Position, length};

/// hyper itself refuses a URI that is longer.
const LONGEST_URI: usize = 65_534;

/// 414 for a request line, 431 for a header line that is longer than the limit; 0 is no limit. The line's end is not
/// counted, nor are the bytes by which [`RequestLine`] made it longer.
pub(super) fn refusal<B>(request: &Request<B>, limit: usize, lengthened: usize) -> Option<StatusCode> {
    if limit == 0 {
        return None;
    }
    // "METHOD URI HTTP/1.1"
    let uri = request.uri();
    let origin = uri.authority().filter(|_| uri.scheme().is_some() && request.version() <= ::http::Version::HTTP_11);
    let uri_length = uri.path_and_query().map_or(1, |path| path.as_str().len())
        + origin.map_or(0, |authority| authority.as_str().len() + uri.scheme_str().map_or(0, str::len) + 3);
    if (request.method().as_str().len() + uri_length + 10).saturating_sub(lengthened) > limit {
        return Some(StatusCode::URI_TOO_LONG);
    }
    let too_long = request.headers().iter().any(|(name, value)| name.as_str().len() + 2 + value.len() > limit);
    too_long.then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// Watches the bytes of an HTTP/1 connection for request lines that hyper would not understand as upstream does: one that
/// does not end, and one whose target holds bytes that belong percent-encoded.
///
/// hyper looks at a head only when it is whole, and answers one that outgrows its buffer by 431, whichever line is to
/// blame. So a request line that is too long is completed here: hyper then sees a whole head, and [`refusal`] finds
/// the line too long. Everything behind it is thrown away; the connection ends with the answer.
///
/// Clients that quote too little send `"` or `<` as it is. hyper answers such a target by an empty 400, and cuts a query
/// off at a `#`; to upstream it is the same target as the encoded one, so hyper gets to see that.
///
/// Nothing but a request line may be touched, least of all a body, whose length was announced. hyper reads the next head
/// only when the body before it is over, so that the next line begins exactly where that ends; from where bytes of the next
/// head came before their time (pipelining), everything goes to hyper as it is.
#[derive(Debug)]
pub(super) struct RequestLine {
    limit: usize,
    /// Requests that had come when the line began.
    requests: u64,
    length: usize,
    /// What the next byte of the line belongs to.
    part: Part,
    state: State,
    /// Bytes of the last request's body that come before the line.
    skip: u64,
    /// What has come behind the line.
    position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Method,
    /// The blank before the target has come.
    Start,
    Path,
    Query,
    /// Behind the target; or it is no request line with a path, such as a header line of a request that came before the last
    /// one was answered.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// No end of line yet.
    Within,
    /// The line is over.
    Behind,
    /// Where the line begins cannot be told.
    Unknown,
    /// The protocol has no lines.
    Forever,
    /// Too long; this much of the ending has been handed out.
    Ending(usize),
}

impl RequestLine {
    const ENDING: &'static [u8] = b" HTTP/1.1\r\n\r\n";

    pub(super) fn new(limit: usize) -> Self {
        let limit = if limit == 0 { LONGEST_URI } else { limit.min(LONGEST_URI) } + 64;
        Self::after(0, limit)
    }

    /// The line that comes after so many requests.
    fn after(requests: u64, limit: usize) -> Self {
        let (part, state) = (Part::Method, State::Within);
        Self { limit, requests, length: 0, part, state, skip: 0, position: Position::default() }
    }

    /// The line behind the requests that have begun.
    fn next(&self, activity: &Activity) -> Self {
        let next = Self::after(activity.requests(), self.limit);
        let skip = self.position.until_next_line(activity.body_length(), !activity.has_unread());
        match skip.filter(|_| next.requests == self.requests + 1) {
            Some(skip) => Self { skip, ..next },
            None => Self { state: State::Unknown, ..next },
        }
    }

    /// Looks at bytes that have come. Gives what hyper is to see instead of them, if anything.
    pub(super) fn feed(&mut self, bytes: &[u8], activity: &Activity) -> Option<Vec<u8>> {
        if activity.is_http2() {
            self.state = State::Forever;
        }
        if matches!(self.state, State::Forever | State::Ending(_)) {
            return None;
        }
        let (idle, requests) = (activity.is_idle(), activity.requests());
        if idle && requests != self.requests {
            *self = self.next(activity);
        }
        if !idle || self.state != State::Within {
            if self.state == State::Behind {
                self.position.advance(bytes);
            }
            return None;
        }
        let (body, bytes) = bytes.split_at(usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len()));
        self.skip -= length(body);
        if bytes.is_empty() {
            return None;
        }
        if requests == 0 && self.length == 0 && bytes.starts_with(b"PRI ") {
            self.state = State::Forever;
            activity.speaks_http2();
            return None;
        }
        // Before the line there may be empty ones.
        let empty = bytes.iter().take_while(|byte| self.length == 0 && b"\r\n".contains(byte)).count();
        let end = bytes.iter().skip(empty).position(|byte| *byte == b'\n').map(|length| empty + length);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let encoded = self.encode(line);
        if end.is_some() {
            self.state = State::Behind;
            self.position.advance(rest);
        } else {
            self.length += line.len() - empty;
            if self.length > self.limit {
                self.state = State::Ending(0);
            }
        }
        encoded.map(|encoded| {
            activity.line_lengthened(encoded.len() - line.len());
            [body, encoded.as_slice(), rest].concat()
        })
    }

    /// A piece of the line with its part of the target percent-encoded; `None` if it is so already.
    fn encode(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        let mut encoded = Vec::new();
        let mut rest = piece;
        for (index, &byte) in piece.iter().enumerate() {
            self.part = self.part.at(byte);
            if self.part.takes_encoded(byte) {
                let (before, from) = rest.split_at(index - (piece.len() - rest.len()));
                encoded.extend_from_slice(before);
                encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
                rest = from.get(1..).unwrap_or_default();
            }
        }
        if encoded.is_empty() {
            return None;
        }
        encoded.extend_from_slice(rest);
        Some(encoded)
    }

    /// Whether a line was too long and has been ended.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.state, State::Ending(_))
    }

    /// What is to be read instead of the socket, at most `room` bytes; empty: nothing more.
    pub(super) fn instead(&mut self, room: usize) -> Option<&'static [u8]> {
        let State::Ending(given) = &mut self.state else { return None };
        let rest = Self::ENDING.get(*given..).unwrap_or_default();
        let piece = rest.get(..room.min(rest.len())).unwrap_or_default();
        *given += piece.len();
        Some(piece)
    }
}

impl Part {
    /// The part that a byte belongs to.
    fn at(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Method, b'A'..=b'Z' | b'\r' | b'\n') => Self::Method,
            (Self::Method, b' ') => Self::Start,
            (Self::Start, b'/') => Self::Path,
            (Self::Path, b'?') => Self::Query,
            (Self::Path | Self::Query, byte) if byte != b' ' => self,
            _ => Self::Other,
        }
    }

    /// Whether the byte is one that hyper refuses here, takes for the end of a query, or wants to be UTF-8.
    fn takes_encoded(self, byte: u8) -> bool {
        match (self, byte) {
            (Self::Method | Self::Start | Self::Other, _) | (_, b'\r') => false,
            // It ends a path, to upstream as well.
            (_, b'#') => self == Self::Query,
            (_, b'"' | b'<' | b'>' | b'`') => true,
            (_, other) => !other.is_ascii_graphic(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::service::counters::Counters;

    fn request(uri: &str, name: &str, value: &str) -> Request<()> {
        Request::get(uri).header(name, value).body(()).unwrap()
    }

    #[test]
    fn the_longest_line_is_accepted_and_one_byte_more_is_not() {
        // "GET " + uri + " HTTP/1.1"
        let fits = format!("/{}", "a".repeat(100 - 13 - 1));
        let longer = format!("{fits}b");
        assert_eq!(refusal(&request(&fits, "x", "y"), 100, 0), None);
        assert_eq!(refusal(&request(&longer, "x", "y"), 100, 0), Some(StatusCode::URI_TOO_LONG));
        assert_eq!(refusal(&request(&longer, "x", "y"), 100, 1), None, "the client sent a byte less");
        assert_eq!(refusal(&request(&longer, "x", "y"), 0, 0), None);
        let fits = "v".repeat(100 - "x-name: ".len());
        assert_eq!(refusal(&request("/", "x-name", &fits), 100, 0), None);
        let longer = format!("{fits}v");
        let expected = Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(refusal(&request("/", "x-name", &longer), 100, 0), expected);
    }

    #[test]
    fn an_endless_request_line_is_ended() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let mut line = RequestLine::new(100);
        line.feed(&[b'a'; 164], &activity);
        assert_eq!(line.instead(99), None);
        line.feed(b"a", &activity);
        assert_eq!(line.instead(4), Some(&b" HTT"[..]));
        assert_eq!(line.instead(99), Some(&b"P/1.1\r\n\r\n"[..]));
        assert_eq!(line.instead(99), Some(&b""[..]));
        assert!(line.is_endless());
    }

    #[test]
    fn a_target_is_percent_encoded() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let cases: [(&[u8], &[u8]); 8] = [
            (
                b"GET /v2/images?name=<\"a\"> HTTP/1.1\r\nX: <\"\r\n",
                b"GET /v2/images?name=%3C%22a%22%3E HTTP/1.1\r\nX: <\"\r\n",
            ),
            (b"\r\n\nGET /a`?#b\x7f HTTP/1.1\r\n", b"\r\n\nGET /a%60?%23b%7F HTTP/1.1\r\n"),
            (b"GET /\xc3\xbc\xff\x01 HTTP/1.1\n\n", b"GET /%C3%BC%FF%01 HTTP/1.1\n\n"),
            (b"G<T / HTTP/1.1\r\n", b""),
            (b"CONNECT <a>:1 HTTP/1.1\r\n", b""),
            (b"X-Name: /\"a\"\r\n", b""),
            (b"the /<end> of a value\r\n", b""),
            (b"GET /%3C{}|\\^[]#a HTTP/1.1\r\n\r\n\"", b""),
        ];
        for (sent, seen) in cases {
            let found = RequestLine::new(100).feed(sent, &activity);
            assert_eq!(found.as_deref(), Some(seen).filter(|seen| !seen.is_empty()), "{}", sent.escape_ascii());
            assert_eq!(activity.take_lengthened(), seen.len().saturating_sub(sent.len()));
            // However it comes in pieces.
            let mut line = RequestLine::new(100);
            let piece = |byte: &u8| line.feed(&[*byte], &activity).unwrap_or_else(|| vec![*byte]);
            let bytes: Vec<u8> = sent.iter().flat_map(piece).collect();
            assert_eq!(bytes, if seen.is_empty() { sent } else { seen });
            activity.take_lengthened();
        }
    }

    const HEAD: &[u8] = b"PUT /v2/images HTTP/1.1\r\nHost: x\r\n\r\n";
    const BODY: &[u8] = b"GET /<<<<<<<< HTTP/1.1\r\n";

    fn begin(activity: &Arc<Activity>, body: Option<u64>) {
        let flight = activity.begin();
        activity.body_begins(body);
        drop(flight);
    }

    #[test]
    fn a_body_is_not_encoded_and_the_line_behind_it_is() {
        // However much of the body comes with the head.
        for with_head in 0..=BODY.len() {
            let activity = Activity::new(Arc::new(Counters::default()));
            let mut line = RequestLine::new(100);
            let (early, late) = BODY.split_at(with_head);
            assert_eq!(line.feed(&[HEAD, early].concat(), &activity), None);
            begin(&activity, Some(length(BODY)));
            let seen = line.feed(&[late, b"GET /< HTTP/1.1\r\n"].concat(), &activity);
            assert_eq!(seen, Some([late, b"GET /%3C HTTP/1.1\r\n"].concat()), "{with_head}");
            assert_eq!(activity.take_lengthened(), 2);
            // Again, the body in pieces.
            line.feed(b"\r\n", &activity);
            begin(&activity, Some(length(BODY)));
            assert!(BODY.chunks(5).all(|piece| line.feed(piece, &activity).is_none()));
            assert_eq!(line.feed(b"GET /< HTTP/1.1\r\n", &activity), Some(b"GET /%3C HTTP/1.1\r\n".to_vec()));
        }
    }

    #[test]
    fn a_chunked_body_is_over_when_it_has_been_read() {
        for (behind, encoded) in [(&b""[..], true), (b"GET /", false)] {
            let activity = Activity::new(Arc::new(Counters::default()));
            let mut line = RequestLine::new(100);
            line.feed(HEAD, &activity);
            let flight = activity.begin();
            let body = activity.body_begins(None);
            assert_eq!(line.feed(&[&b"1\r\n<\r\n0\r\n\r\n"[..], behind].concat(), &activity), None);
            activity.body_ended(body);
            drop(flight);
            assert_eq!(line.feed(b"GET /< HTTP/1.1\r\n", &activity).is_some(), encoded);
        }
    }

    #[test]
    fn nothing_is_touched_where_requests_overlap() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let mut line = RequestLine::new(100);
        // The second head lacks its last line, which looks like an empty one before a request line.
        line.feed(b"GET / HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\nContent-Length: 24\r\n", &activity);
        drop(activity.begin());
        assert_eq!(line.feed(&[&b"\r\n"[..], BODY].concat(), &activity), None);
        begin(&activity, Some(length(BODY)));
        line.feed(&[b'a'; 999], &activity);
        assert_eq!(line.instead(99), None, "nor is a line ended that may be none");
        // Two requests at once.
        let mut line = RequestLine::new(100);
        let activity = Activity::new(Arc::new(Counters::default()));
        line.feed(b"GET / HTTP/1.1\r\n\r\n", &activity);
        drop(activity.begin());
        begin(&activity, Some(length(BODY)));
        assert_eq!(line.feed(BODY, &activity), None);
    }

    #[test]
    fn http2_is_known_by_its_requests_too() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let mut line = RequestLine::new(100);
        line.feed(b"PR", &activity);
        line.feed(b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n", &activity);
        activity.speaks_http2();
        drop(activity.begin());
        assert_eq!(line.feed(BODY, &activity), None);
        line.feed(&[b'a'; 999], &activity);
        assert_eq!(line.instead(99), None);
    }

    #[test]
    fn other_bytes_are_left_alone() {
        let activity = Activity::new(Arc::new(Counters::default()));
        let mut headers = RequestLine::new(100);
        headers.feed(b"GET / HTTP/1.1\r\n", &activity);
        headers.feed(&[b'a'; 999], &activity);
        assert_eq!(headers.instead(99), None, "hyper bounds the header lines");
        let mut http2 = RequestLine::new(100);
        http2.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &activity);
        http2.feed(&[0; 999], &activity);
        assert_eq!(http2.instead(99), None);
        assert!(activity.is_http2());
        let activity = Activity::new(Arc::new(Counters::default()));
        let mut body = RequestLine::new(100);
        body.feed(HEAD, &activity);
        let flight = activity.begin();
        activity.body_begins(Some(999));
        body.feed(&[0; 999], &activity);
        assert_eq!(body.instead(99), None);
        drop(flight);
        body.feed(&[b'a'; 999], &activity);
        assert!(body.instead(99).is_some(), "the next request's line");
    }
}
