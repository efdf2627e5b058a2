//! Requests that hyper takes although two readers may understand them differently: where a body ends, and whom a request is for.

use ::http::{HeaderMap, Request, StatusCode, Version, header};

/// Why a request is refused before anybody looks at what it asks for. The connection ends with the answer, because what
/// follows the head may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A transfer coding beside `chunked` (RFC 9112, 6.1). Its coded bytes would become image data.
    Coding,
    /// `chunked` more than once, or not at the end (RFC 9112, 6.1).
    Chunked,
    /// HTTP/1.1 without Host, or any version with several or with one that is no host (RFC 9112, 3.2; RFC 9113, 8.3.1).
    Host,
}

impl Malformed {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Chunked | Self::Host => StatusCode::BAD_REQUEST,
        }
    }

    /// For the client and the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Coding => "The only transfer coding that this server understands is chunked.",
            Self::Chunked => "The transfer coding chunked must come once, as the last one.",
            Self::Host => "A request must have one Host header, with a host and no more.",
        }
    }
}

/// What is wrong with the head of a request, if anything. uWSGI, in front of upstream, decodes no coding but the last one,
/// and joins several Hosts with a comma; its answers then have links that lead nowhere.
pub(super) fn malformed<B>(request: &Request<B>) -> Option<Malformed> {
    let headers = request.headers();
    transfer_coding(headers).err().or_else(|| host(request).err())
}

/// hyper has made sure that the last coding of the last line is `chunked`.
fn transfer_coding(headers: &HeaderMap) -> Result<(), Malformed> {
    let lines = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    let codings: Vec<&[u8]> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .collect();
    let chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match codings.as_slice() {
        [] => Ok(()),
        [only] if chunked(only) => Ok(()),
        all if !all.iter().all(chunked) => Err(Malformed::Coding),
        _ => Err(Malformed::Chunked),
    }
}

fn host<B>(request: &Request<B>) -> Result<(), Malformed> {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let (first, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority().filter(|_| request.version() == Version::HTTP_2);
    match (first, second) {
        (_, Some(_)) => Err(Malformed::Host),
        (None, None) if request.version() == Version::HTTP_11 => Err(Malformed::Host),
        (Some(host), None) if !is_host(host.as_bytes()) => Err(Malformed::Host),
        (Some(host), None)
            if authority
                .is_some_and(|authority| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) =>
        {
            Err(Malformed::Host)
        }
        _ => Ok(()),
    }
}

/// Whether this is `uri-host [ ":" port ]` (RFC 3986, 3.2.2), or empty, by the characters that occur in one.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().version(version).uri(uri);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn chunked_alone_is_a_transfer_coding() {
        let cases: [(&[&str], _); 9] = [
            (&[], None),
            (&["chunked"], None),
            (&["Chunked"], None),
            (&[" , chunked"], None),
            (&["gzip, chunked"], Some(Malformed::Coding)),
            (&["gzip", "chunked"], Some(Malformed::Coding)),
            (&["identity,chunked"], Some(Malformed::Coding)),
            (&["chunked, chunked"], Some(Malformed::Chunked)),
            (&["chunked", "chunked"], Some(Malformed::Chunked)),
        ];
        for (lines, expected) in cases {
            let mut headers: Vec<_> = lines.iter().map(|line| ("transfer-encoding", *line)).collect();
            headers.push(("host", "x"));
            assert_eq!(malformed(&request(Version::HTTP_11, "/", &headers)), expected, "{lines:?}");
        }
    }

    #[test]
    fn there_is_one_host() {
        let (old, new, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        let wrong = Some(Malformed::Host);
        let cases: [(_, &str, &[&str], _); 16] = [
            (new, "/", &["x"], None),
            (new, "/", &[""], None),
            (new, "/", &["[::1]:9292"], None),
            (new, "/", &["images_1.example.org:9292"], None),
            (new, "/", &[], wrong),
            (new, "http://x/", &[], wrong),
            (new, "/", &["x", "x"], wrong),
            (new, "/", &["x y"], wrong),
            (new, "/", &["x/y"], wrong),
            (new, "/", &["user@x"], wrong),
            (old, "/", &[], None),
            (old, "/", &["x", "y"], wrong),
            (two, "https://x:9292/", &[], None),
            (two, "https://x:9292/", &["X:9292"], None),
            (two, "https://x:9292/", &["y"], wrong),
            (two, "https://x:9292/", &["x:9292", "x:9292"], wrong),
        ];
        for (version, uri, hosts, expected) in cases {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(malformed(&request(version, uri, &headers)), expected, "{version:?} {uri} {hosts:?}");
        }
    }
}
