//! Where the system keeps the certificates that it trusts.

use std::env::split_paths;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// The files and directories that the TLS stack reads where no CA file is named, and the files in the directories: what
/// `$SSL_CERT_FILE` and `$SSL_CERT_DIR` say, else the usual places that are there. Blocks.
pub(super) fn of_system(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = variable("SSL_CERT_FILE").map(PathBuf::from).into_iter().collect();
    let mut directories: Vec<PathBuf> = match variable("SSL_CERT_DIR") {
        Some(listed) => split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => Vec::new(),
    };
    if files.is_empty() && directories.is_empty() {
        let found = openssl_probe::probe();
        files.extend(found.cert_file);
        directories = found.cert_dir;
    }
    for directory in directories {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        inside.sort();
        files.push(directory);
        files.extend(inside);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileStates;

    #[test]
    fn a_certificate_that_the_system_comes_to_trust_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let (file, directory) = (place.path().join("bundle.crt"), place.path().join("certs"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "one").unwrap();
        fs::write(directory.join("4042bcee.0"), "one").unwrap();
        let files = |names: &[&str]| {
            of_system(|name| {
                let path = if name == "SSL_CERT_FILE" { &file } else { &directory };
                names.contains(&name).then(|| path.clone().into_os_string())
            })
        };
        let both = || FileStates::read(files(&["SSL_CERT_FILE", "SSL_CERT_DIR"]));
        let mut before = both();
        assert_eq!(before, both());
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "another").unwrap(),
            &|| fs::write(directory.join("4042bcee.0"), "another").unwrap(),
            &|| fs::write(directory.join("4042bcee.1"), "another").unwrap(),
            &|| fs::remove_file(directory.join("4042bcee.0")).unwrap(),
        ];
        for change in changes {
            change();
            let after = both();
            assert_ne!(before, after);
            before = after;
        }
        assert_eq!(files(&["SSL_CERT_FILE"]), std::slice::from_ref(&file), "the usual places do not count");
    }
}
