//! Limits on the lines of a request's head (`max_header_line`).

use ::http::{Request, StatusCode};

use super::Activity;

/// hyper itself refuses a URI that is longer.
const LONGEST_URI: usize = 65_534;

/// 414 for a request line, 431 for a header line that is longer than the limit; 0 is no limit. The line's end is not
/// counted.
pub(super) fn refusal<B>(request: &Request<B>, limit: usize) -> Option<StatusCode> {
    if limit == 0 {
        return None;
    }
    // "METHOD URI HTTP/1.1"
    let uri = request.uri();
    let origin = uri.authority().filter(|_| uri.scheme().is_some() && request.version() <= ::http::Version::HTTP_11);
    let uri_length = uri.path_and_query().map_or(1, |path| path.as_str().len())
        + origin.map_or(0, |authority| authority.as_str().len() + uri.scheme_str().map_or(0, str::len) + 3);
    if request.method().as_str().len() + uri_length + 10 > limit {
        return Some(StatusCode::URI_TOO_LONG);
    }
    let too_long = request.headers().iter().any(|(name, value)| name.as_str().len() + 2 + value.len() > limit);
    too_long.then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// Watches the bytes of an HTTP/1 connection for a request line that does not end.
///
/// hyper looks at a head only when it is whole, and answers one that outgrows its buffer by 431, whichever line is to
/// blame. So a request line that is too long is completed here: hyper then sees a whole head, and [`refusal`] finds
/// the line too long. Everything behind it is thrown away; the connection ends with the answer.
#[derive(Debug)]
pub(super) struct RequestLine {
    limit: usize,
    /// Requests that had come when the line began.
    requests: u64,
    length: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// No end of line yet.
    Within,
    /// The line is over, or the protocol has no lines.
    Behind,
    Forever,
    /// Too long; this much of the ending has been handed out.
    Ending(usize),
}

impl RequestLine {
    const ENDING: &'static [u8] = b" HTTP/1.1\r\n\r\n";

    pub(super) fn new(limit: usize) -> Self {
        let limit = if limit == 0 { LONGEST_URI } else { limit.min(LONGEST_URI) } + 64;
        Self { limit, requests: 0, length: 0, state: State::Within }
    }

    /// Looks at bytes that have come.
    pub(super) fn feed(&mut self, bytes: &[u8], activity: &Activity) {
        if !activity.is_idle() || matches!(self.state, State::Forever | State::Ending(_)) {
            return;
        }
        let requests = activity.requests();
        if requests != self.requests {
            *self = Self { requests, length: 0, state: State::Within, limit: self.limit };
        }
        if self.state == State::Behind {
            return;
        }
        if requests == 0 && self.length == 0 && bytes.starts_with(b"PRI ") {
            self.state = State::Forever;
        } else if bytes.contains(&b'\n') {
            self.state = State::Behind;
        } else {
            self.length += bytes.len();
            if self.length > self.limit {
                self.state = State::Ending(0);
                activity.left_unread();
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::service::status::Counters;

    fn request(uri: &str, name: &str, value: &str) -> Request<()> {
        Request::get(uri).header(name, value).body(()).unwrap()
    }

    #[test]
    fn the_longest_line_is_accepted_and_one_byte_more_is_not() {
        // "GET " + uri + " HTTP/1.1"
        let fits = format!("/{}", "a".repeat(100 - 13 - 1));
        let longer = format!("{fits}b");
        assert_eq!(refusal(&request(&fits, "x", "y"), 100), None);
        assert_eq!(refusal(&request(&longer, "x", "y"), 100), Some(StatusCode::URI_TOO_LONG));
        assert_eq!(refusal(&request(&longer, "x", "y"), 0), None);
        let fits = "v".repeat(100 - "x-name: ".len());
        assert_eq!(refusal(&request("/", "x-name", &fits), 100), None);
        let longer = format!("{fits}v");
        let expected = Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(refusal(&request("/", "x-name", &longer), 100), expected);
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
        assert!(activity.has_unread());
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
        let mut body = RequestLine::new(100);
        let flight = activity.begin();
        body.feed(&[0; 999], &activity);
        assert_eq!(body.instead(99), None);
        drop(flight);
        body.feed(&[b'a'; 999], &activity);
        assert!(body.instead(99).is_some(), "the next request's line");
    }
}
