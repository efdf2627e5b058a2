//! Example commands for a first start without a configuration.

use std::io::{self, Write as _};

use super::listener::Address;
use super::settings::TlsFiles;

/// Three shell commands that create an image, upload data to it and list it.
fn commands(address: &Address, tls: Option<&TlsFiles>) -> [String; 3] {
    let curl = match (address, tls) {
        (Address::Tcp(_), None) => "curl -sS".to_owned(),
        (Address::Tcp(_), Some(files)) => format!("curl -sS --cacert '{}'", files.certificate.display()),
        (Address::Unix(path), _) => format!("curl -sS --unix-socket '{}'", path.display()),
    };
    let url = format!("{}/v2/images", address.url(tls.is_some()));
    [
        format!(
            "ID=$(cat /proc/sys/kernel/random/uuid); {curl} {url} -H 'Content-Type: application/json' -d \
             '{{\"id\":\"'$ID'\",\"name\":\"first\",\"disk_format\":\"raw\",\"container_format\":\"bare\"}}'"
        ),
        format!(
            "head -c 1048576 /dev/urandom | {curl} -X PUT {url}/$ID/file -H 'Content-Type: application/octet-stream' \
             -T -"
        ),
        format!("{curl} {url}"),
    ]
}

/// Writes them to standard output; blocks.
pub(super) fn print(address: &Address, tls: Option<&TlsFiles>) {
    let mut out = io::stdout().lock();
    let commands = commands(address, tls).join("\n");
    // They are only an example: that they cannot be written is no failure.
    let _ =
        writeln!(out, "glance-api answers at {address}. To create an image, upload its data and list:\n\n{commands}\n");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_the_address() {
        let [create, upload, list] = commands(&Address::Tcp("127.0.0.1:9292".parse().unwrap()), None);
        assert!(create.contains("http://127.0.0.1:9292/v2/images -H") && create.contains("{\"id\":\"'$ID'\""));
        assert!(upload.contains("http://127.0.0.1:9292/v2/images/$ID/file"));
        assert_eq!(list, "curl -sS http://127.0.0.1:9292/v2/images");
        let [_, _, list] = commands(&Address::Unix("/run/a.sock".into()), None);
        assert_eq!(list, "curl -sS --unix-socket '/run/a.sock' http://localhost/v2/images");
        let files = TlsFiles { certificate: "/c.pem".into(), key: "/k.pem".into(), authority: None };
        let [_, _, list] = commands(&Address::Tcp("127.0.0.1:9292".parse().unwrap()), Some(&files));
        assert_eq!(list, "curl -sS --cacert '/c.pem' https://127.0.0.1:9292/v2/images");
    }
}
