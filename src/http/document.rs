//! Error documents in webob's three forms, to the byte (upstream: `webob/exc.py`).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use super::accept::{self, Accept};
use crate::api::{Body, Error, Response, Text, json};

/// Bytes that a document has at most of one text, as it is written: a text may quote what the client has sent, whose characters can be
/// several times as long in a document.
const SHOWN_MAX: usize = 12 << 10;

/// Bytes that a byte of a text has at most in a document.
const GROWTH_MAX: usize = 6;

/// The facts about a request on which its error document depends.
pub(in crate::http) struct Asked<'a> {
    pub method: &'a Method,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
}

/// The answer that tells the client of an error.
pub(in crate::http) fn render(error: &Error, asked: &Asked<'_>) -> Response {
    let stock = Stock::of(error.status);
    let status = format!("{} {}", error.status.as_str(), stock.title);
    let (content_type, text) = if *asked.method == Method::HEAD {
        ("text/html; charset=UTF-8", Vec::new())
    } else {
        // Unlike elsewhere, a missing header is an empty one here: it accepts nothing.
        let accept = accept::header(asked.headers).unwrap_or_default();
        match Accept::parse(Some(&accept)).best(&["text/html", "application/json"]) {
            Some("text/html") => ("text/html; charset=UTF-8", html_form(error, &stock, &status, asked).into_bytes()),
            Some(_) => ("application/json", json_form(error, &stock, &status, asked)),
            None => ("text/plain; charset=UTF-8", plain_form(error, &stock, &status, asked).into_bytes()),
        }
    };
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = error.status;
    response.headers_mut().clone_from(&error.headers);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    if error.status.canonical_reason() != Some(stock.title) {
        response.extensions_mut().insert(ReasonPhrase::from_static(stock.title.as_bytes()));
    }
    if !text.is_empty() {
        *response.body_mut() = Body::Bytes(Bytes::from(text));
    }
    response
}

fn html_form(error: &Error, stock: &Stock, status: &str, asked: &Asked<'_>) -> String {
    let body = body(error, stock, asked, Form::HTML);
    format!(
        "<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n  {body}\n </body>\n</html>"
    )
}

fn plain_form(error: &Error, stock: &Stock, status: &str, asked: &Asked<'_>) -> String {
    format!("{status}\n\n{}", strip_tags(&body(error, stock, asked, Form::PLAIN)))
}

fn json_form(error: &Error, stock: &Stock, status: &str, asked: &Asked<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        message: &'a str,
        code: &'a str,
        title: &'a str,
    }
    let message = body(error, stock, asked, Form::JSON);
    let document = Document { message: &message, code: status, title: stock.title };
    json::to_bytes(&document).map(Vec::from).unwrap_or_default()
}

/// How a document writes the texts of an error.
#[derive(Clone, Copy)]
struct Form {
    escape: fn(&str) -> Cow<'_, str>,
    /// Bytes of a character in the document.
    size: fn(char) -> usize,
}

impl Form {
    const HTML: Self = Self { escape, size: |c| escaped(c).map_or(1, |text| text.len()) };
    const JSON: Self = Self { escape: as_it_is, size: json_size };
    const PLAIN: Self = Self { escape: as_it_is, size: char::len_utf8 };

    /// The text as it stands in the body, cut where it would be too long.
    fn show<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.len() <= SHOWN_MAX / GROWTH_MAX {
            return (self.escape)(text);
        }
        let mut size = 0;
        let end = text.char_indices().find(|(_, c)| {
            size += (self.size)(*c);
            size > SHOWN_MAX
        });
        match end {
            None => (self.escape)(text),
            Some((end, _)) => Cow::Owned((self.escape)(text.get(..end).unwrap_or_default()).into_owned() + "..."),
        }
    }
}

/// Bytes of a character in a text of JSON that is all ASCII.
fn json_size(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\x08' | '\x0c' => 2,
        ' '..='~' => 1,
        c => 6 * c.len_utf16(),
    }
}

/// The text of all three forms, still with its `<br />`.
fn body(error: &Error, stock: &Stock, asked: &Asked<'_>, form: Form) -> String {
    let (explanation, detail) = match &error.text {
        Text::Whole(text) => return form.show(text).into_owned(),
        Text::Stock => (stock.explanation, ""),
        Text::Explanation(text) => (text.as_str(), ""),
        Text::Detail(text) => (stock.explanation, text.as_str()),
    };
    let detail = form.show(detail);
    let about = |fallback: Cow<'_, str>| form.show(error.subject.as_deref().unwrap_or(&fallback)).into_owned();
    match error.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let method = about(asked.method.as_str().into());
            format!("The method {method} is not allowed for this resource. <br /><br />\n{detail}")
        }
        StatusCode::NOT_IMPLEMENTED => {
            let method = about(asked.method.as_str().into());
            format!("\nThe request method {method} is not implemented for this server. <br /><br />\n{detail}")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let media_type = about(given(asked.headers, CONTENT_TYPE.as_str(), "${CONTENT_TYPE}"));
            format!("The request media type {media_type} is not supported by this server.\n<br /><br />\n{detail}")
        }
        StatusCode::NOT_ACCEPTABLE => {
            let accept = about(given(asked.headers, "accept", "${HTTP_ACCEPT}"));
            format!(
                "The resource could not be generated that was acceptable to your browser\n\
                 (content of type {accept}. <br /><br />\n{detail}"
            )
        }
        _ => {
            let comment = error.comment.as_deref().filter(|text| !text.is_empty());
            let comment = comment.map(|text| format!("<!-- {} -->", form.show(text))).unwrap_or_default();
            format!("{}<br /><br />\n{detail}\n{comment}\n", form.show(explanation))
        }
    }
}

/// A header of the request, or the placeholder that webob leaves where there is none.
fn given<'a>(headers: &'a HeaderMap, name: &str, placeholder: &'static str) -> Cow<'a, str> {
    headers.get(name).map_or(Cow::Borrowed(placeholder), |value| String::from_utf8_lossy(value.as_bytes()))
}

fn as_it_is(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// As `webob.util.html_escape`.
pub(in crate::http) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| escaped(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match escaped(c) {
            Some(text) => written.push_str(&text),
            None => written.push(c),
        }
    }
    Cow::Owned(written)
}

/// What stands for a character in HTML; `None`: it itself.
fn escaped(c: char) -> Option<Cow<'static, str>> {
    match c {
        '&' => Some(Cow::Borrowed("&amp;")),
        '<' => Some(Cow::Borrowed("&lt;")),
        '>' => Some(Cow::Borrowed("&gt;")),
        '"' => Some(Cow::Borrowed("&quot;")),
        '\'' => Some(Cow::Borrowed("&#x27;")),
        c if c.is_ascii() => None,
        c => Some(Cow::Owned(format!("&#{};", u32::from(c)))),
    }
}

/// As webob's `strip_tags`: `<br>` becomes the only line break, all other tags go.
fn strip_tags(text: &str) -> String {
    let text = text.replace('\n', " ").replace('\r', "");
    let text = replace_tags(&text, "<br", "\n");
    let text = text.replace("<!--", "").replace("-->", "");
    replace_tags(&text, "<", "")
}

/// Replaces all from `opening`, in any case, to the next `>`.
fn replace_tags(text: &str, opening: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    // Of no interest behind the last `>`; before it each opening has its end, so this is linear.
    while let Some(start) = find_ignoring_case(rest, opening) {
        let Some(length) = rest.get(start..).and_then(|tag| tag.find('>')) else { break };
        replaced.push_str(rest.get(..start).unwrap_or_default());
        replaced.push_str(by);
        rest = rest.get(start + length + 1..).unwrap_or_default();
    }
    replaced + rest
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Title and stock sentence of a status.
struct Stock {
    title: &'static str,
    explanation: &'static str,
}

impl Stock {
    fn of(status: StatusCode) -> Self {
        let (title, explanation) = match status.as_u16() {
            400 => (
                "Bad Request",
                "The server could not comply with the request since it is either malformed or otherwise incorrect.",
            ),
            401 => (
                "Unauthorized",
                "This server could not verify that you are authorized to access the document you requested. Either you \
                 supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply \
                 the credentials required.",
            ),
            402 => ("Payment Required", "Access was denied for financial reasons."),
            403 => ("Forbidden", "Access was denied to this resource."),
            404 => ("Not Found", "The resource could not be found."),
            405 => ("Method Not Allowed", ""),
            406 => ("Not Acceptable", ""),
            407 => ("Proxy Authentication Required", "Authentication with a local proxy is needed."),
            408 => ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
            409 => ("Conflict", "There was a conflict when trying to complete your request."),
            410 => ("Gone", "This resource is no longer available. No forwarding address is given."),
            411 => ("Length Required", "Content-Length header required."),
            412 => ("Precondition Failed", "Request precondition failed."),
            413 => ("Request Entity Too Large", "The body of your request was too large for this server."),
            414 => ("Request-URI Too Long", "The request URI was too long for this server."),
            415 => ("Unsupported Media Type", ""),
            416 => ("Request Range Not Satisfiable", "The Range requested is not available."),
            417 => ("Expectation Failed", "Expectation failed."),
            422 => ("Unprocessable Entity", "Unable to process the contained instructions"),
            423 => ("Locked", "The resource is locked"),
            424 => (
                "Failed Dependency",
                "The method could not be performed because the requested action dependended on another action and that \
                 action failed",
            ),
            428 => ("Precondition Required", "This request is required to be conditional"),
            429 => ("Too Many Requests", "The client has sent too many requests in a given amount of time"),
            431 => ("Request Header Fields Too Large", "The request header fields were too large"),
            451 => ("Unavailable For Legal Reasons", "The resource is not available due to legal reasons."),
            501 => ("Not Implemented", ""),
            502 => ("Bad Gateway", "Bad gateway."),
            503 => ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
            504 => ("Gateway Timeout", "The gateway has timed out."),
            505 => ("HTTP Version Not Supported", "The HTTP version is not supported."),
            507 => ("Insufficient Storage", "There was not enough space to save the resource"),
            511 => ("Network Authentication Required", "Network authentication is required"),
            _ => (
                status.canonical_reason().unwrap_or("Internal Server Error"),
                "The server has either erred or is incapable of performing the requested operation.",
            ),
        };
        Self { title, explanation }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::http::upstream;

    #[test]
    fn documents_are_those_of_upstream() {
        let cases = upstream::cases(include_str!("upstream/errors.json"));
        assert!(cases.len() > 250);
        for case in cases {
            let status = StatusCode::from_u16(u16::try_from(case["code"].as_u64().unwrap()).unwrap()).unwrap();
            let text = case["text"].as_str().unwrap_or_default();
            let mut error = match case["kind"].as_str().unwrap() {
                "stock" => Error::stock(status),
                "explanation" => Error::explanation(status, text),
                _ => Error::detail(status, text),
            };
            error.comment = case["comment"].as_str().map(str::to_owned);
            for pair in case["extra"].as_array().unwrap() {
                let name: HeaderName = pair[0].as_str().unwrap().parse().unwrap();
                error.headers.insert(name, pair[1].as_str().unwrap().parse().unwrap());
            }
            let mut headers = HeaderMap::new();
            for (name, key) in [(http::header::ACCEPT, "accept"), (CONTENT_TYPE, "content_type")] {
                if let Some(value) = case[key].as_str() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            // `http` refuses such a method on the wire already; upstream shows how it would be escaped.
            let named = case["method"].as_str().unwrap();
            error.subject =
                named.contains('<').then(|| named.to_owned()).filter(|_| [405, 501].contains(&status.as_u16()));
            let method = named.parse().unwrap_or(Method::POST);
            upstream::assert_same(render(&error, &Asked { method: &method, headers: &headers }), &case);
        }
    }

    #[test]
    fn the_subject_of_the_error_counts_before_that_of_the_request() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("a/b"))]);
        let asked = Asked { method: &Method::PUT, headers: &headers };
        for (error, expected) in [
            (Error::method_not_allowed(&Method::PUT, "GET, POST"), "The method PUT is not allowed"),
            (Error::not_implemented_method(&Method::TRACE), "The request method TRACE is not implemented"),
            (Error::unsupported_media_type(&headers, "d"), "The request media type a/b is not supported"),
            (Error::unsupported_media_type(&HeaderMap::new(), "d"), "The request media type a/b is not supported"),
        ] {
            let response = render(&error, &asked);
            let Body::Bytes(text) = response.body() else { panic!("{error}: no body") };
            let text = std::str::from_utf8(text).unwrap();
            assert!(text.contains(expected), "{text}");
            assert_eq!(response.headers().get("allow"), error.headers.get("allow"));
        }
    }

    #[test]
    fn a_text_is_cut_where_its_document_would_be_long() {
        let in_json = |text: &str| json::to_bytes(&text).unwrap().len() - "\"\"".len();
        for c in ['a', '\'', '"', '\\', '<', '\n', '\u{1}', '\u{7f}', '\u{fc}', '\u{20ac}', '\u{1f600}'] {
            let one = c.to_string();
            assert_eq!((Form::HTML.size)(c), escape(&one).len(), "{c:?} in HTML");
            assert_eq!((Form::JSON.size)(c), in_json(&one), "{c:?} in JSON");
            for form in [Form::HTML, Form::JSON, Form::PLAIN] {
                assert!((form.size)(c) <= GROWTH_MAX * c.len_utf8(), "{c:?}");
                let fits = one.repeat(SHOWN_MAX / (form.size)(c));
                assert_eq!(form.show(&fits), (form.escape)(&fits));
                let cut = form.show(&(fits.clone() + &one)).into_owned();
                assert_eq!(cut, (form.escape)(&fits).into_owned() + "...");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn plain_text_has_no_complete_tag(text in "[a-c<>!/br \n-]{0,40}") {
            let stripped = strip_tags(&text);
            let opened = stripped.find('<').map(|at| stripped[at..].contains('>')).unwrap_or(false);
            proptest::prop_assert!(!opened, "{text:?} became {stripped:?}");
        }
    }
}
