//! What a first-time user is shown: lines to paste into a shell.

use std::io::{self, Write as _};

use super::listener::Address;

/// Three commands that create an image, upload data to it and list it.
fn lines(address: &Address) -> [String; 3] {
    let curl = match address {
        Address::Tcp(_) => "curl -sS".to_owned(),
        Address::Unix(path) => format!("curl -sS --unix-socket '{}'", path.display()),
    };
    let url = format!("{}/v2/images", address.url(false));
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

/// Writes them to standard output.
pub(super) fn show(address: &Address) {
    let mut out = io::stdout().lock();
    let lines = lines(address).join("\n");
    // Nobody needs to read them.
    let _ =
        writeln!(out, "glance-api answers at {address}. To create an image, upload its data and list:\n\n{lines}\n");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_address() {
        let [create, upload, list] = lines(&Address::Tcp("127.0.0.1:9292".parse().unwrap()));
        assert!(create.contains("http://127.0.0.1:9292/v2/images -H") && create.contains("{\"id\":\"'$ID'\""));
        assert!(upload.contains("http://127.0.0.1:9292/v2/images/$ID/file"));
        assert_eq!(list, "curl -sS http://127.0.0.1:9292/v2/images");
        let [_, _, list] = lines(&Address::Unix("/run/a.sock".into()));
        assert_eq!(list, "curl -sS --unix-socket '/run/a.sock' http://localhost/v2/images");
    }
}
