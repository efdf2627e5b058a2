//! A URL of SQLAlchemy, taken apart (`sqlalchemy/engine/url.py`).

use percent_encoding::percent_decode_str;

use crate::db::error::DbError;

/// The parts of a URL, decoded.
pub(super) struct Url {
    scheme: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) hosts: Vec<Host>,
    pub(super) database: Option<String>,
    /// In their order; of those with the same name the last counts, unless they are hosts.
    query: Vec<(String, String)>,
}

/// One of the servers that a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address without brackets, or the directory of a Unix socket.
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Url {
    /// `parameters` is `connection_parameters`, added to the query of the URL.
    ///
    /// # Errors
    /// They name the part that is wrong and never quote it, since a misplaced `@` makes any part a password.
    pub(super) fn parse(url: &str, parameters: &str) -> Result<Self, DbError> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| {
                !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_".contains(&b))
            })
            .ok_or_else(|| bad("is not of the form kind://user:password@host:port/name"))?;
        // A user name holds no slash, a password no at sign: both are percent-encoded.
        let (user, password, rest) = match rest.split_once('@') {
            Some((login, after)) => match login.split_once(':') {
                Some((user, password)) if !user.contains('/') => (Some(user), Some(password), after),
                None if !login.contains('/') => (Some(login), None, after),
                _ => (None, None, rest),
            },
            None => (None, None, rest),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (address, database) =
            rest.split_once('/').map_or((rest, None), |(address, database)| (address, Some(database)));
        let mut query = pairs(query);
        query.extend(pairs(parameters));
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: user.map(|user| decode(user, false)),
            password: password.map(|password| decode(password, false)),
            hosts: hosts(address)?,
            database: database.filter(|name| !name.is_empty()).map(|name| decode(name, false)),
            query,
        })
    }

    /// What stands before the plus in the scheme.
    pub(super) fn kind(&self) -> &str {
        self.scheme.split('+').next().unwrap_or_default()
    }

    /// The Python driver that follows the plus in the scheme.
    pub(super) fn driver(&self) -> Option<&str> {
        self.scheme.split_once('+').map(|(_, driver)| driver)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// The values of a parameter that may be given several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of all parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|(key, _)| key.as_str())
    }

    /// A parameter as SQLAlchemy reads booleans (`sqlalchemy/util/langhelpers.py`, `asbool`).
    ///
    /// # Errors
    /// It is neither true nor false. A word that is not understood must not turn a protection off.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, DbError> {
        self.get(name).map(|text| flag(name, text)).transpose()
    }

    /// A parameter that is a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, DbError> {
        self.get(name).map(|text| number(name, text)).transpose()
    }

    /// The servers of `host` and `port` in the query, which take the place of those before the path: `host=a:1&host=b:2`,
    /// or `host=a,b&port=1,2` (`_split_multihost_from_url` in `sqlalchemy/dialects/postgresql/base.py`).
    pub(super) fn hosts_of_query(&self) -> Result<Option<Vec<Host>>, DbError> {
        let given: Vec<&str> = self.all("host").collect();
        let ports = self.get("port").map(ports).transpose()?;
        let mut found = match given.as_slice() {
            [] if ports.is_none() => return Ok(None),
            [] => self.hosts.clone(),
            // The directory of a socket may hold a colon.
            [one] if one.starts_with('/') || !one.contains(':') || one.matches(':').count() > 1 => {
                let name = |name: &str| Host { name: name.trim_matches(['[', ']']).to_owned(), port: None };
                one.split(',').map(name).collect()
            }
            several => {
                let each = several.iter().map(|text| hosts(text));
                each.collect::<Result<Vec<_>, _>>()?.concat()
            }
        };
        match ports.as_deref() {
            None => {}
            Some([one]) => found.iter_mut().for_each(|host| host.port = *one),
            Some(several) if several.len() == found.len() => {
                found.iter_mut().zip(several).for_each(|(host, port)| host.port = *port);
            }
            Some(_) => return Err(bad("has not as many ports as hosts")),
        }
        Ok(Some(found))
    }
}

fn bad(text: &str) -> DbError {
    DbError::Url(text.to_owned())
}

/// Reads a boolean; see [`Url::flag`].
pub(super) fn flag(name: &str, text: &str) -> Result<bool, DbError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" | "required" => Ok(true),
        "false" | "no" | "off" | "n" | "f" | "0" | "none" => Ok(false),
        _ => Err(bad(&format!("{name} is neither true nor false"))),
    }
}

pub(super) fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, DbError> {
    text.trim().parse().map_err(|_| bad(&format!("{name} is not a number")))
}

/// `host`, `host:port`, `[address]:port`, and several of them with commas between. A port behind the last alone is that of all,
/// as SQLAlchemy has it.
fn hosts(address: &str) -> Result<Vec<Host>, DbError> {
    let mut found = Vec::new();
    for text in address.split(',') {
        let (name, port) = match text.strip_prefix('[').map(|address| address.split_once(']')) {
            Some(None) => return Err(bad("has an IPv6 address without a closing bracket")),
            Some(Some((name, after))) => (name, after.strip_prefix(':').unwrap_or_default()),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        // libpq's way to write the directory of a socket.
        let is_path = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
        let name = if is_path { decode(name, false) } else { name.to_owned() };
        found.push(Host { name, port: port_of(port)? });
    }
    match found.split_last_mut() {
        Some((last, before)) if before.iter().all(|host| host.port.is_none()) => {
            before.iter_mut().for_each(|host| host.port = last.port);
        }
        _ => {}
    }
    if let [Host { name, port: None }] = found.as_slice()
        && name.is_empty()
    {
        found.clear();
    }
    Ok(found)
}

/// Ports with commas between; one that is empty is the usual one.
pub(super) fn ports(text: &str) -> Result<Vec<Option<u16>>, DbError> {
    text.split(',').map(port_of).collect()
}

fn port_of(text: &str) -> Result<Option<u16>, DbError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad("has a port that is not a number from 0 to 65535"))
}

fn decode(text: &str, form: bool) -> String {
    let text = if form { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// Pairs without a value are dropped, as `parse_qsl` does.
fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (decode(key, true), decode(value, true)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(url: &str) -> Vec<(String, Option<u16>)> {
        let url = Url::parse(url, "").unwrap_or_else(|error| panic!("{url}: {error}"));
        let hosts = url.hosts_of_query().unwrap().unwrap_or(url.hosts);
        hosts.into_iter().map(|host| (host.name, host.port)).collect()
    }

    #[test]
    fn a_password_may_hold_anything_but_an_at_sign() {
        let url = Url::parse("mysql://u:a/b#c?d:e%40@h/n", "").unwrap();
        assert_eq!(url.password.as_deref(), Some("a/b#c?d:e@"));
        assert_eq!((url.hosts[0].name.as_str(), url.database.as_deref()), ("h", Some("n")));
        let url = Url::parse("mysql+pymysql://gl%40nce:s+s@h/n?a=b+c&d=", "e=f").unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("gl@nce"), Some("s+s")));
        assert_eq!(url.parameters().collect::<Vec<_>>(), ["a", "e"]);
        assert_eq!((url.get("a"), url.kind(), url.driver()), (Some("b c"), "mysql", Some("pymysql")));
    }

    #[test]
    fn hosts_in_every_form() {
        let host = |name: &str, port: u16| (name.to_owned(), (port > 0).then_some(port));
        for (url, expected) in [
            ("mysql://u@h/n", vec![host("h", 0)]),
            ("mysql://u@h:/n", vec![host("h", 0)]),
            ("mysql://h:3307", vec![host("h", 3307)]),
            ("mysql://u@[::1]:3307/n", vec![host("::1", 3307)]),
            ("mysql://u@[::1],[::2]:5/n", vec![host("::1", 5), host("::2", 5)]),
            ("mysql://u@a,b:5/n", vec![host("a", 5), host("b", 5)]),
            ("mysql://u@a:1,b/n", vec![host("a", 1), host("b", 0)]),
            ("postgresql://u@%2Frun%2Fpg/n", vec![host("/run/pg", 0)]),
            ("postgresql:///n", vec![]),
            ("postgresql:///n?host=/run/p:g&port=5555", vec![host("/run/p:g", 5555)]),
            ("postgresql://x/n?host=a:1&host=b:2", vec![host("a", 1), host("b", 2)]),
            ("postgresql:///n?host=a&host=b", vec![host("a", 0), host("b", 0)]),
            ("postgresql:///n?host=a:7", vec![host("a", 7)]),
            ("postgresql:///n?host=::1", vec![host("::1", 0)]),
            ("postgresql:///n?host=a,b&port=1,2", vec![host("a", 1), host("b", 2)]),
            ("postgresql:///n?host=a,b&port=1", vec![host("a", 1), host("b", 1)]),
            ("postgresql://a,b/n?port=1,", vec![host("a", 1), host("b", 0)]),
        ] {
            assert_eq!(found(url), expected, "{url}");
        }
        assert!(Url::parse("postgresql:///n?host=a,b&port=1,2,3", "").unwrap().hosts_of_query().is_err());
    }

    #[test]
    fn what_is_no_url_is_told_without_its_secrets() {
        for url in [
            "",
            "secret",
            "://secret",
            "mysql//secret",
            "mysql://u:secret@h:secret/n",
            "mysql://u:secret@[::1/n",
            "mysql://u:secret@h:99999/n",
            "postgresql://u:secret@h/n?port=secret",
        ] {
            let error = Url::parse(url, "").and_then(|url| url.hosts_of_query().map(drop)).unwrap_err().to_string();
            assert!(error.starts_with("[database] connection: ") && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_word_that_is_neither_true_nor_false_is_refused() {
        let url = Url::parse("mysql://h?a=TRUE&b=off&c=ture", "").unwrap();
        assert_eq!(
            (url.flag("a").unwrap(), url.flag("b").unwrap(), url.flag("d").unwrap()),
            (Some(true), Some(false), None)
        );
        assert!(url.flag("c").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(url in "(mysql|postgresql)(\\+[a-z]{0,4})?://\\PC{0,60}") {
            if let Ok(url) = Url::parse(&url, "") {
                let _ = url.hosts_of_query();
            }
        }
    }
}
