//! A small HTTP/1.1 client that hides nothing: the request goes out as written, the answer comes back to the byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// No answer takes longer than this; a test that waits for more is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    /// Neither a length nor a transfer encoding is sent.
    #[default]
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Body::None }
    }

    /// Changes of an image.
    pub(crate) fn patch(target: &str, changes: &serde_json::Value) -> Self {
        let body = Body::Sized(changes.to_string().into_bytes());
        let request = Self::new("PATCH", target).header("Content-Type", "application/openstack-images-v2.1-json-patch");
        Self { body, ..request }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(self, value: &serde_json::Value) -> Self {
        let body = Body::Sized(value.to_string().into_bytes());
        Self { body, ..self.header("Content-Type", "application/json") }
    }

    pub(crate) fn data(self, body: Body) -> Self {
        Self { body, ..self.header("Content-Type", "application/octet-stream") }
    }

    /// The request line and the headers with the empty line, for tests that send the body themselves.
    pub(crate) fn head(&self, host: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        match &self.body {
            Body::None => {}
            Body::Sized(bytes) => text += &format!("Content-Length: {}\r\n", bytes.len()),
            Body::Chunked(_) => text += "Transfer-Encoding: chunked\r\n",
        }
        (text + "\r\n").into_bytes()
    }

    fn write(&self, host: &str, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = self.head(host);
        match &self.body {
            Body::None => {}
            Body::Sized(body) => bytes.extend_from_slice(body),
            Body::Chunked(chunks) => {
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        to.write_all(&bytes)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The values of a header, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: status {}, {}", self.status, self.text()))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {:?}\n{}", self.reason, self.headers, self.text());
        self
    }

    /// Reads one answer to a request of `method`.
    pub(crate) fn read(from: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let mut answer = Self::read_head(from)?;
        // An interim answer precedes the real one.
        while (100..200).contains(&answer.status) {
            answer = Self::read_head(from)?;
        }
        let chunked = answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = answer.header("content-length").and_then(|value| value.parse::<usize>().ok());
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            // No body, whatever the headers say.
        } else if chunked {
            read_chunks(from, &mut answer.body)?;
        } else if let Some(length) = length {
            answer.body.resize(length, 0);
            from.read_exact(&mut answer.body)?;
        } else {
            from.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Self> {
        let status_line = read_line(from)?;
        let mut parts = status_line.splitn(3, ' ');
        let (Some(version), Some(status)) = (parts.next(), parts.next()) else {
            return Err(io::Error::other(format!("not a status line: {status_line:?}")));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(io::Error::other(format!("not a status line: {status_line:?}")));
        }
        let status = status.parse().map_err(io::Error::other)?;
        let mut answer = Self { status, reason: parts.next().unwrap_or_default().to_owned(), ..Self::default() };
        loop {
            let line = read_line(from)?;
            if line.is_empty() {
                return Ok(answer);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| io::Error::other(format!("not a header: {line:?}")))?;
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !read_line(from)?.is_empty() {}
            return Ok(());
        }
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        read_line(from)?;
    }
}

/// Talks to one server; the connection is kept while the server keeps it.
pub(crate) struct Client {
    address: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the request and reads its answer. A kept connection that turns out closed is replaced once.
    pub(crate) fn try_send(&mut self, request: &Request) -> io::Result<Answer> {
        if let Some(kept) = self.kept.take()
            && let Ok(answer) = self.exchange(kept, request)
        {
            return Ok(answer);
        }
        let connection = connect(self.address)?;
        self.exchange(BufReader::new(connection), request)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        self.try_send(request).unwrap_or_else(|e| panic!("{} {}: {e}", request.method, request.target))
    }

    fn exchange(&mut self, mut connection: BufReader<TcpStream>, request: &Request) -> io::Result<Answer> {
        // A server may answer and close before it has read the whole body; its answer still counts.
        let written = request.write(&self.address.to_string(), connection.get_mut());
        let answer = match Answer::read(&mut connection, &request.method) {
            Ok(answer) => answer,
            Err(e) => return Err(written.err().unwrap_or(e)),
        };
        let close = answer.all("connection").any(|value| value.eq_ignore_ascii_case("close"));
        let framed = answer.header("content-length").is_some() || answer.header("transfer-encoding").is_some();
        if written.is_ok() && !close && (framed || matches!(answer.status, 204 | 304)) {
            self.kept = Some(connection);
        }
        Ok(answer)
    }
}

/// Reads the head of a request, as a server of a test that does not care what it says.
pub(crate) fn skip_head(connection: &TcpStream) {
    let mut lines = BufReader::new(connection).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
}

/// A server that sends its visitors on. Gives its address, which is one of this host but not the usual one, and how many have come.
pub(crate) fn redirecting(to: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            skip_head(&connection);
            counted.fetch_add(1, Ordering::SeqCst);
            let answer =
                format!("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            // Whoever asked may be gone by now.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    (address, visits)
}

/// A connection on which every wait is bounded.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
