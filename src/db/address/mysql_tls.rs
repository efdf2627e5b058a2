//! Whether and how a connection to MySQL is encrypted, from the parameters of the drivers and from option files.

use std::path::{Path, PathBuf};

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::option_file::{OptionFile, Reader};
use super::parsed::refused;
use super::url::Url;
use crate::config::FileStates;
use crate::db::error::DbError;

/// Parameters of a URL that are read here.
pub(super) const PARAMETERS: [&str; 11] = [
    "ssl_ca",
    "ssl_capath",
    "ssl_cert",
    "ssl_key",
    "ssl_mode",
    "ssl_disabled",
    "ssl_check_hostname",
    "ssl_verify_cert",
    "ssl_verify_identity",
    "tls_version",
    "tls_versions",
];
/// Options of a file that are read here.
pub(super) const OPTIONS: [&str; 7] =
    ["ssl-ca", "ssl-capath", "ssl-cert", "ssl-key", "ssl-mode", "ssl-verify-server-cert", "tls-version"];

/// A directory of certificates holds no more.
const MOST_CERTIFICATES: usize = 10_000;

/// As PyMySQL and SQLAlchemy understand the parameters, with these differences: words such as `ssl_disabled=false` mean what they
/// say, where a text that is not empty counts as true there; the host name is verified wherever there is a CA and nothing says
/// otherwise, also with mysqlclient; an option file may demand more by `ssl`, `ssl-mode` and `ssl-verify-server-cert`, which PyMySQL
/// passes over. `files` becomes those whose contents the connection has: the driver reads others anew each time.
pub(super) fn apply(
    connect: MySqlConnectOptions,
    url: &Url,
    options: &OptionFile,
    reader: Reader,
    by_socket: bool,
    files: &mut FileStates,
) -> Result<MySqlConnectOptions, DbError> {
    check_versions(url, options)?;
    let file = |parameter: &str, option: &str| url.get(parameter).or_else(|| options.get(option)).map(str::to_owned);
    let (ca, ca_folder) = (file("ssl_ca", "ssl-ca"), file("ssl_capath", "ssl-capath"));
    let (cert, key) = (file("ssl_cert", "ssl-cert"), file("ssl_key", "ssl-key"));

    let mode = mode(url, options, reader, by_socket)?;
    let mut connect = connect.ssl_mode(mode);
    if matches!(mode, MySqlSslMode::Disabled) {
        return Ok(connect);
    }
    if let Some(folder) = &ca_folder {
        let mut pem = certificates_in(Path::new(folder), files)?;
        if let Some(path) = &ca {
            files.note(Path::new(path));
            pem.extend(super::files::read_certificates(Path::new(path))?);
        }
        connect = connect.ssl_ca_from_pem(pem);
    } else if let Some(path) = &ca {
        super::files::read_certificates(Path::new(path))?;
        connect = connect.ssl_ca(path);
    } else if matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity) {
        connect = connect.ssl_ca(super::files::system_certificates()?);
    }
    match (cert, key) {
        (None, None) => Ok(connect),
        // One file may hold both, as the drivers have it.
        (Some(cert), key) => Ok(connect.ssl_client_key(key.as_ref().unwrap_or(&cert)).ssl_client_cert(&cert)),
        (None, Some(_)) => Err(DbError::Url("ssl_key is set, and ssl_cert is not".to_owned())),
    }
}

fn mode(url: &Url, options: &OptionFile, reader: Reader, by_socket: bool) -> Result<MySqlSslMode, DbError> {
    if url.flag("ssl_disabled")? == Some(true) {
        return Ok(MySqlSslMode::Disabled);
    }
    if let Some(name) = url.get("ssl_mode") {
        return named(name);
    }
    let in_file = options.get("ssl-mode").map(named).transpose()?;
    match (in_file, reader) {
        (Some(mode), Reader::C) => Ok(mode),
        (Some(mode), Reader::Python) => Ok(stricter(mode, implied(url, options, reader, by_socket)?)),
        (None, _) => implied(url, options, reader, by_socket),
    }
}

fn named(name: &str) -> Result<MySqlSslMode, DbError> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "DISABLED" => MySqlSslMode::Disabled,
        "PREFERRED" => MySqlSslMode::Preferred,
        "REQUIRED" => MySqlSslMode::Required,
        "VERIFY_CA" => MySqlSslMode::VerifyCa,
        "VERIFY_IDENTITY" => MySqlSslMode::VerifyIdentity,
        _ => {
            let text = "ssl_mode is DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY";
            return Err(DbError::Url(text.to_owned()));
        }
    })
}

/// PyMySQL does not know `ssl-mode` in a file: there it may only demand more than the rest does.
fn stricter(one: MySqlSslMode, other: MySqlSslMode) -> MySqlSslMode {
    let rank = |mode: &MySqlSslMode| match mode {
        MySqlSslMode::Disabled => 0,
        MySqlSslMode::Preferred => 1,
        MySqlSslMode::Required => 2,
        MySqlSslMode::VerifyCa => 3,
        MySqlSslMode::VerifyIdentity => 4,
    };
    if rank(&one) > rank(&other) { one } else { other }
}

/// The mode that follows from the other parameters.
fn implied(url: &Url, options: &OptionFile, reader: Reader, by_socket: bool) -> Result<MySqlSslMode, DbError> {
    let in_file = options.flag("ssl")?;
    // PyMySQL does not know this option, and encrypts where the server can.
    let is_off = in_file == Some(false) && reader == Reader::C;
    let has = |parameter: &str, option: &str| url.get(parameter).or_else(|| options.get(option)).is_some();
    let has_ca = has("ssl_ca", "ssl-ca") || has("ssl_capath", "ssl-capath");
    let (check_name, identity) = (url.flag("ssl_check_hostname")?, url.flag("ssl_verify_identity")?);
    let certificate = url.flag("ssl_verify_cert")?;
    // PyMySQL does not know this option either.
    let of_file = options.flag("ssl-verify-server-cert")?.filter(|verify| *verify || reader == Reader::C);
    let names = [check_name, identity, of_file];
    if names.contains(&Some(true)) {
        return Ok(MySqlSslMode::VerifyIdentity);
    }
    if certificate == Some(true) || (has_ca && certificate.is_none()) {
        let by_name = certificate.is_none() && !names.contains(&Some(false));
        return Ok(if by_name { MySqlSslMode::VerifyIdentity } else { MySqlSslMode::VerifyCa });
    }
    let is_asked_for = has_ca
        || has("ssl_cert", "ssl-cert")
        || [check_name, identity, certificate].iter().any(Option::is_some)
        || url.flag("ssl")? == Some(true)
        || in_file == Some(true);
    Ok(match () {
        () if is_asked_for => MySqlSslMode::Required,
        // Nobody is between us and a socket of this machine.
        () if is_off || by_socket => MySqlSslMode::Disabled,
        () => MySqlSslMode::Preferred,
    })
}

/// TLS 1.2 and 1.3 are what this program speaks; a demand that excludes one of them cannot be kept.
fn check_versions(url: &Url, options: &OptionFile) -> Result<(), DbError> {
    let given = url.get("tls_version").or_else(|| url.get("tls_versions")).or_else(|| options.get("tls-version"));
    match given {
        Some(text) if !text.to_ascii_lowercase().contains("tlsv1.2") => Err(refused("tls_version without TLSv1.2")),
        _ => Ok(()),
    }
}

/// All certificates of a directory, whatever their files are called.
fn certificates_in(folder: &Path, states: &mut FileStates) -> Result<Vec<u8>, DbError> {
    states.note(folder);
    let entries =
        std::fs::read_dir(folder).map_err(|error| DbError::Url(format!("ssl_capath {}: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let mut pem = Vec::new();
    for path in files.iter().take(MOST_CERTIFICATES) {
        states.note(path);
        if let Ok(text) = super::files::read_certificates(path) {
            pem.extend(text);
            pem.push(b'\n');
        }
    }
    if pem.is_empty() {
        return Err(DbError::Url(format!("ssl_capath {}: there is no certificate", folder.display())));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

    fn found(url: &str, file: &str) -> Result<String, DbError> {
        let folder = tempfile::tempdir().unwrap();
        let (ca, cnf) = (folder.path().join("ca.pem"), folder.path().join("my.cnf"));
        std::fs::write(&ca, PEM).unwrap();
        let here = |text: &str| {
            text.replace("CA", &ca.display().to_string()).replace("DIR", &folder.path().display().to_string())
        };
        std::fs::write(&cnf, here(&format!("[client]\n{file}\n"))).unwrap();
        let url = Url::parse(&here(url), &format!("read_default_file={}", cnf.display())).unwrap();
        let reader = if url.driver().is_none() { Reader::C } else { Reader::Python };
        let options = OptionFile::read(url.get("read_default_file"), None, reader)?;
        let (by_socket, mut files) = (url.get("unix_socket").is_some(), FileStates::default());
        let connect = apply(MySqlConnectOptions::new(), &url, &options, reader, by_socket, &mut files)?;
        Ok(format!("{:?}", connect.get_ssl_mode()))
    }

    #[test]
    fn modes() {
        for (query, file, expected) in [
            ("", "", "Preferred"),
            ("unix_socket=/s", "", "Disabled"),
            ("unix_socket=/s&ssl_mode=REQUIRED", "", "Required"),
            ("ssl_disabled=true", "ssl=1", "Disabled"),
            ("ssl_disabled=false", "", "Preferred"),
            ("ssl_ca=CA", "", "VerifyIdentity"),
            ("ssl_capath=DIR", "", "VerifyIdentity"),
            ("ssl_ca=CA&ssl_check_hostname=false", "", "VerifyCa"),
            ("ssl_ca=CA&ssl_verify_identity=false", "", "VerifyCa"),
            ("ssl_ca=CA&ssl_verify_cert=true", "", "VerifyCa"),
            ("ssl_ca=CA&ssl_verify_cert=true&ssl_verify_identity=true", "", "VerifyIdentity"),
            ("ssl_ca=CA&ssl_verify_cert=false", "", "Required"),
            ("ssl_ca=CA&ssl_mode=verify_ca", "", "VerifyCa"),
            ("ssl_cert=CA&ssl_key=CA", "", "Required"),
            ("ssl_check_hostname=false", "", "Required"),
            ("ssl=true", "", "Required"),
            ("", "ssl=1", "Required"),
            ("", "ssl", "Required"),
            ("", "ssl=0", "Preferred"),
            ("", "ssl=1\nssl-ca=CA", "VerifyIdentity"),
            ("", "ssl-ca=CA\nssl-verify-server-cert=0", "VerifyIdentity"),
            ("ssl_ca=CA", "ssl-mode=REQUIRED", "VerifyIdentity"),
            ("ssl_ca=CA", "ssl-mode=DISABLED", "VerifyIdentity"),
            ("", "ssl-mode=DISABLED", "Preferred"),
            ("ssl_ca=CA", "ssl-verify-server-cert", "VerifyIdentity"),
            ("", "ssl-mode=REQUIRED", "Required"),
            ("tls_version=TLSv1.2,TLSv1.3", "", "Preferred"),
        ] {
            let mode = found(&format!("mysql+pymysql://h/n?{query}"), file);
            assert_eq!(mode.unwrap_or_else(|error| error.to_string()), expected, "{query} {file}");
        }
        assert_eq!(found("mysql://h/n", "skip-ssl").unwrap(), "Disabled");
        assert_eq!(found("mysql://h/n", "").unwrap(), "Preferred");
        assert_eq!(found("mysql://h/n?ssl_ca=CA", "ssl-mode=REQUIRED").unwrap(), "Required");
        assert_eq!(found("mysql://h/n", "ssl-ca=CA\nssl-verify-server-cert=0").unwrap(), "VerifyCa");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for query in [
            "ssl_mode=SOMETIMES",
            "ssl_disabled=maybe",
            "ssl_ca=/nowhere.pem",
            "ssl_capath=/nowhere",
            "ssl_key=CA",
            "tls_version=TLSv1.3",
        ] {
            assert!(found(&format!("mysql+pymysql://h/n?{query}"), "").is_err(), "{query}");
        }
    }
}
