//! libpq's parameters and where their values come from: the URL, a service file, the environment (PostgreSQL's manual, "Database
//! Connection Control Functions", "Environment Variables", "The Connection Service File").

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::option_file::at_home;
use super::url::Url;
use crate::config::FileStates;
use crate::db::error::DbError;

/// Larger is no file of services or passwords.
const LARGEST: u64 = 1 << 20;
/// Where packages keep the services of all users, unless `PGSYSCONFDIR` says so.
const SYSTEM_FOLDERS: [&str; 2] = ["/etc/postgresql-common", "/etc"];

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Known,
    /// Changes nothing about where or how safely one connects.
    Harmless,
    /// Decides where or how safely one connects, and cannot be honoured unless its value is this one.
    Only(&'static [&'static str]),
}

/// The parameters, with the variable of the environment that each can come from.
const KEYWORDS: [(&str, &str, Standing); 44] = {
    use Standing::{Harmless, Known, Only};
    [
        ("host", "PGHOST", Known),
        ("hostaddr", "PGHOSTADDR", Known),
        ("port", "PGPORT", Known),
        ("dbname", "PGDATABASE", Known),
        ("user", "PGUSER", Known),
        ("password", "PGPASSWORD", Known),
        ("passfile", "PGPASSFILE", Known),
        ("service", "PGSERVICE", Known),
        ("servicefile", "PGSERVICEFILE", Known),
        ("options", "PGOPTIONS", Known),
        ("application_name", "PGAPPNAME", Known),
        ("fallback_application_name", "", Known),
        ("connect_timeout", "PGCONNECT_TIMEOUT", Known),
        ("target_session_attrs", "PGTARGETSESSIONATTRS", Known),
        ("load_balance_hosts", "PGLOADBALANCEHOSTS", Known),
        ("sslmode", "PGSSLMODE", Known),
        ("requiressl", "PGREQUIRESSL", Known),
        ("sslrootcert", "PGSSLROOTCERT", Known),
        ("sslcert", "PGSSLCERT", Known),
        ("sslkey", "PGSSLKEY", Known),
        // SQLAlchemy's own, for poolers.
        ("prepared_statement_cache_size", "", Known),
        // Texts are exchanged in UTF-8 whatever it says.
        ("client_encoding", "PGCLIENTENCODING", Harmless),
        ("keepalives", "", Harmless),
        ("keepalives_idle", "", Harmless),
        ("keepalives_interval", "", Harmless),
        ("keepalives_count", "", Harmless),
        ("tcp_user_timeout", "", Harmless),
        ("sslcompression", "PGSSLCOMPRESSION", Harmless),
        ("krbsrvname", "PGKRBSRVNAME", Harmless),
        ("gsslib", "PGGSSLIB", Harmless),
        ("gssdelegation", "PGGSSDELEGATION", Harmless),
        ("sslsni", "PGSSLSNI", Only(&["1"])),
        ("sslcertmode", "PGSSLCERTMODE", Only(&["allow"])),
        ("sslnegotiation", "PGSSLNEGOTIATION", Only(&["postgres"])),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Only(&["TLSv1", "TLSv1.1", "TLSv1.2"])),
        ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Only(&["TLSv1.3"])),
        ("gssencmode", "PGGSSENCMODE", Only(&["disable", "prefer"])),
        ("channel_binding", "PGCHANNELBINDING", Only(&["disable", "prefer"])),
        ("require_auth", "PGREQUIREAUTH", Only(&[])),
        ("requirepeer", "PGREQUIREPEER", Only(&[])),
        ("replication", "", Only(&["false", "off", "no", "0"])),
        ("sslpassword", "", Only(&[])),
        ("sslcrl", "PGSSLCRL", Only(&[])),
        ("sslcrldir", "PGSSLCRLDIR", Only(&[])),
    ]
};

/// The values that are set.
#[derive(Default)]
pub(super) struct Keywords {
    values: BTreeMap<&'static str, String>,
    /// Those that were looked for, before they were.
    files: RefCell<FileStates>,
}

impl Keywords {
    /// The values for a URL, and the names of those of its parameters that have no effect. `variable` is the environment.
    pub(super) fn read(url: &Url, variable: &dyn Fn(&str) -> Option<String>) -> Result<(Self, Vec<String>), DbError> {
        let (mut found, mut unused) = (Self::default(), Vec::new());
        for name in url.parameters() {
            match lookup(name) {
                Some((keyword, standing)) => {
                    if standing == Standing::Harmless {
                        unused.push(name.to_owned());
                    }
                    found.values.insert(keyword, url.get(name).unwrap_or_default().to_owned());
                }
                None if ["ssl", "tls", "gss", "scram", "oauth"].iter().any(|start| name.starts_with(start)) => {
                    return Err(super::parsed::refused(name));
                }
                None => unused.push(name.to_owned()),
            }
        }
        if let Some(hosts) = url.hosts_of_query()?.or_else(|| (!url.hosts.is_empty()).then(|| url.hosts.clone())) {
            let join = |texts: Vec<String>| texts.join(",");
            let ports: Vec<String> =
                hosts.iter().map(|host| host.port.map_or_else(String::new, |port| port.to_string())).collect();
            found.values.insert("host", join(hosts.into_iter().map(|host| host.name).collect()));
            if ports.iter().any(|port| !port.is_empty()) {
                found.values.insert("port", join(ports));
            }
        }
        for (keyword, value) in [("user", &url.user), ("password", &url.password), ("dbname", &url.database)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                found.values.entry(keyword).or_insert_with(|| value.clone());
            }
        }
        if let Some(name) = found.get("service").map(str::to_owned).or_else(|| variable("PGSERVICE")) {
            found.add_service(&name, variable)?;
        }
        for (keyword, name, _) in KEYWORDS.iter().filter(|(_, name, _)| !name.is_empty()) {
            if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
                found.values.entry(keyword).or_insert(value);
            }
        }
        found.check()?;
        Ok((found, unused))
    }

    /// A value that is not empty.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The values of a parameter that has one for each host; empty where there is none.
    pub(super) fn list(&self, keyword: &str) -> Vec<String> {
        let text = self.values.get(keyword).map_or("", String::as_str);
        if text.is_empty() { Vec::new() } else { text.split(',').map(|one| one.trim().to_owned()).collect() }
    }

    /// The files that have been read until now, or looked for.
    pub(super) fn into_files(self) -> FileStates {
        self.files.into_inner()
    }

    /// To be called before this file is read or looked for.
    pub(super) fn note(&self, path: &Path) {
        self.files.borrow_mut().note(path);
    }

    /// `None` if there is no such file.
    fn read_file(&self, path: &Path) -> Result<Option<String>, DbError> {
        self.note(path);
        read_file(path)
    }

    fn check(&self) -> Result<(), DbError> {
        for (keyword, _, standing) in &KEYWORDS {
            if let (Standing::Only(allowed), Some(value)) = (standing, self.get(keyword))
                && !allowed.contains(&value)
            {
                return Err(super::parsed::refused(keyword));
            }
        }
        Ok(())
    }

    /// Adds what a service says and nothing else has said. The file of the user comes first; the first that has the service counts.
    fn add_service(&mut self, name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), DbError> {
        let own = self.get("servicefile").map(str::to_owned).or_else(|| variable("PGSERVICEFILE"));
        let own = own.map_or_else(|| at_home("~/.pg_service.conf"), PathBuf::from);
        let folders = variable("PGSYSCONFDIR").map(|folder| vec![folder]);
        let folders = folders.unwrap_or_else(|| SYSTEM_FOLDERS.map(str::to_owned).to_vec());
        let system = folders.into_iter().map(|folder| Path::new(&folder).join("pg_service.conf"));
        for path in std::iter::once(own).chain(system) {
            let Some(text) = self.read_file(&path)? else { continue };
            let wrong = |reason: String| DbError::Url(format!("the service file {}: {reason}", path.display()));
            let (mut is_wanted, mut is_there) = (false, false);
            for (number, line) in text.lines().map(str::trim).enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                if let Some(group) = line.strip_prefix('[') {
                    is_wanted = group.strip_suffix(']') == Some(name);
                    is_there |= is_wanted;
                } else if is_wanted {
                    let (keyword, value) =
                        line.split_once('=').ok_or_else(|| wrong(format!("line {} is no setting", number + 1)))?;
                    let known = lookup(keyword.trim()).filter(|(keyword, _)| *keyword != "service");
                    let (keyword, _) = known.ok_or_else(|| wrong(format!("line {} is not understood", number + 1)))?;
                    self.values.entry(keyword).or_insert_with(|| value.trim().to_owned());
                }
            }
            if is_there {
                return Ok(());
            }
        }
        Err(DbError::Url(format!("no service file has the service {name}")))
    }

    /// The password of the user's password file for one of the servers. As libpq has it, a file that others may read is passed over.
    pub(super) fn password(
        &self,
        host: &str,
        port: u16,
        database: &str,
        user: &str,
    ) -> Result<Option<String>, DbError> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.get("passfile").map_or_else(|| at_home("~/.pgpass"), PathBuf::from);
        let Some(text) = self.read_file(&path)? else { return Ok(None) };
        let mode = std::fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o77 != 0 {
            tracing::warn!(file = %path.display(), "the password file is not used: others than its owner may read it");
            return Ok(None);
        }
        let host = if host.starts_with('/') { "localhost" } else { host };
        let wanted = [host, &port.to_string(), database, user];
        let fits = |fields: &[String]| {
            fields.len() == 5 && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted)
        };
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(fields);
        Ok(lines.filter(|fields| fits(fields)).map(|mut fields| fields.swap_remove(4)).next())
    }
}

fn lookup(name: &str) -> Option<(&'static str, Standing)> {
    KEYWORDS.iter().find(|(keyword, _, _)| *keyword == name).map(|(keyword, _, standing)| (*keyword, *standing))
}

/// The parts of a line of a password file: colons separate, a backslash takes the next sign as it is. All after the fourth colon is
/// the password.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let sign = match sign {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => signs.next().unwrap_or('\\'),
            sign => sign,
        };
        if let Some(field) = fields.last_mut() {
            field.push(sign);
        }
    }
    fields
}

/// `None` if there is no such file.
fn read_file(path: &Path) -> Result<Option<String>, DbError> {
    let wrong = |reason: &dyn std::fmt::Display| DbError::Url(format!("{} cannot be read: {reason}", path.display()));
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Ok(None),
        Ok(metadata) if metadata.len() > LARGEST => return Err(wrong(&"it is too large")),
        Ok(_) => {}
        Err(_) => return Ok(None),
    }
    std::fs::read_to_string(path).map(Some).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(url: &str, environment: &[(&str, &str)]) -> Result<(Keywords, Vec<String>), DbError> {
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Keywords::read(&Url::parse(url, "").unwrap(), &variable)
    }

    #[test]
    fn the_url_comes_before_the_service_and_that_before_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services");
        std::fs::write(
            &path,
            "# services\n[other]\nhost=wrong\n[images]\nhost=db1,db2\nport=1,2\nuser=served\nsslmode=require\n",
        )
        .unwrap();
        let file = path.display().to_string();
        let environment =
            [("PGSERVICEFILE", file.as_str()), ("PGUSER", "me"), ("PGDATABASE", "glance"), ("PGPORT", "")];
        let (found, unused) =
            read("postgresql://:s3cret@/?service=images&sslmode=verify-full&keepalives=1&x=y", &environment).unwrap();
        let get = |keyword| found.get(keyword).unwrap_or_default();
        assert_eq!([get("host"), get("port"), get("user"), get("dbname")], ["db1,db2", "1,2", "served", "glance"]);
        assert_eq!([get("sslmode"), get("password")], ["verify-full", "s3cret"]);
        assert_eq!(unused, ["keepalives", "x"]);
        assert_eq!(read("postgresql://db", &[("PGUSER", "me")]).unwrap().0.get("user"), Some("me"));
        for service in ["absent", "images]"] {
            assert!(read(&format!("postgresql:///?service={service}"), &environment).is_err());
        }
        for line in ["sslfancy=1", "service=other", "s3cret"] {
            std::fs::write(&path, format!("[images]\n{line}\n")).unwrap();
            let error = read("postgresql:///?service=images", &environment).err().unwrap().to_string();
            assert!(error.contains(&file) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_decides_about_safety_and_is_not_understood_is_refused() {
        for query in [
            "sslcrl=/x",
            "sslfancy=1",
            "require_auth=scram-sha-256",
            "channel_binding=require",
            "gssencmode=require",
            "ssl_min_protocol_version=TLSv1.3",
            "requirepeer=postgres",
            "oauth_issuer=x",
        ] {
            let error = read(&format!("postgresql://h/n?{query}"), &[]).err().unwrap().to_string();
            assert!(error.contains(query.split('=').next().unwrap()), "{error}");
        }
        assert!(read("postgresql://h/n", &[("PGREQUIREPEER", "x")]).is_err());
        assert!(read("postgresql://h/n?channel_binding=prefer&ssl_min_protocol_version=TLSv1.2&sslsni=1", &[]).is_ok());
    }

    #[test]
    fn password_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, "# db:1:*:*:no\ndb:2:glance:u:two\ndb:*:glance:u:a\\:b:c\nlocalhost:*:*:u:local\n")
            .unwrap();
        let (found, _) = read(&format!("postgresql://h/n?passfile={}", path.display()), &[]).unwrap();
        let password = |host, port| found.password(host, port, "glance", "u").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(password("db", 1), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password("db", 1).as_deref(), Some("a:b:c"));
        assert_eq!(password("db", 2).as_deref(), Some("two"));
        assert_eq!(password("/run/postgresql", 1).as_deref(), Some("local"));
        assert_eq!(password("other", 1), None);
    }
}
