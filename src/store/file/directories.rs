//! The directories of a file store and the choice among them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::super::StoreError;
use super::draft::{self, Kind};
use super::options::FileOptions;

/// Directories in order of preference.
pub(super) struct Directories {
    /// Highest priority first; no list in it is empty.
    by_priority: Vec<Vec<Directory>>,
    /// Whether there is a choice at all (`filesystem_store_datadirs`).
    several: bool,
}

/// One directory that holds images.
pub(super) struct Directory {
    /// As configured: location URLs are made from it, so that they equal upstream's.
    pub(super) path: String,
    /// How files can be written in it, once that is found out.
    kind: OnceLock<Kind>,
}

impl Directories {
    /// Reads `filesystem_store_datadir` and `filesystem_store_datadirs`.
    ///
    /// The single directory has a default, which gives way when several are configured; upstream takes that for two
    /// contradicting options.
    pub(super) fn parse(options: &FileOptions) -> Result<Self, String> {
        let single = options.filesystem_store_datadir.as_str();
        let wrong = |reason: String| format!("filesystem_store_datadirs: {reason}");
        let mut ranked: Vec<(i64, Directory)> = Vec::new();
        if options.filesystem_store_datadirs.is_empty() {
            if single.is_empty() {
                let reason = "Specify at least 'filesystem_store_datadir' or 'filesystem_store_datadirs' option";
                return Err(format!("filesystem_store_datadir: {reason}"));
            }
            ranked.push((0, Directory::new(single)));
        } else if !single.is_empty() && single != FileOptions::default().filesystem_store_datadir {
            let reason = "Specify either 'filesystem_store_datadir' or 'filesystem_store_datadirs' option";
            return Err(wrong(reason.to_owned()));
        }
        for text in &options.filesystem_store_datadirs {
            let (path, priority) = split_priority(text).map_err(wrong)?;
            match ranked.iter().find(|(_, known)| known.path == path) {
                Some((known, _)) if *known != priority => {
                    return Err(wrong(format!(
                        "Directory {path} specified multiple times in filesystem_store_datadirs option of filesystem \
                         configuration"
                    )));
                }
                Some(_) => tracing::warn!(directory = path, "specified twice in filesystem_store_datadirs"),
                None => ranked.push((priority, Directory::new(path))),
            }
        }
        // A stable sort: directories of one priority stay in the order of the file.
        ranked.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let mut by_priority: Vec<Vec<Directory>> = Vec::new();
        let mut last = None;
        for (priority, directory) in ranked {
            match by_priority.last_mut() {
                Some(group) if last == Some(priority) => group.push(directory),
                _ => by_priority.push(vec![directory]),
            }
            last = Some(priority);
        }
        Ok(Self { by_priority, several: !options.filesystem_store_datadirs.is_empty() })
    }

    /// For a store that cannot be written at all.
    pub(super) fn none() -> Self {
        Self { by_priority: Vec::new(), several: false }
    }

    /// The option that names them.
    pub(super) fn option(&self) -> &'static str {
        if self.several { "filesystem_store_datadirs" } else { "filesystem_store_datadir" }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Directory> {
        self.by_priority.iter().flatten()
    }

    /// Makes the directories that are missing, checks that all can be written, and lets those walk in for whom
    /// `permissions` opens the files.
    pub(super) fn prepare(&self, permissions: Option<u32>) -> Result<(), String> {
        for Directory { path, .. } in self.all() {
            match fs::metadata(path) {
                Ok(metadata) if !metadata.is_dir() => return Err(format!("{path} is not a directory")),
                Ok(_) => {}
                Err(_) => {
                    tracing::info!(directory = %path, "directory for image files does not exist; creating it");
                    fs::create_dir_all(path).map_err(|error| {
                        format!(
                            "Unable to create datadir: {path} ({error}); make it and give it to the service's user; under \
                             systemd it must be within StateDirectory= or ReadWritePaths="
                        )
                    })?;
                }
            }
            access(path.as_str(), AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
                format!(
                    "Permission to write in {path} denied ({error}); give the directory to the service's user; under \
                     systemd it must be within StateDirectory= or ReadWritePaths="
                )
            })?;
            if let Some(permissions) = permissions
                && let Err(error) = open_door(Path::new(path), permissions)
            {
                tracing::warn!(directory = %path, %error, "cannot let group or others enter the directory");
            }
        }
        Ok(())
    }

    /// Whether an image of `size` bytes can fit into any of them.
    pub(super) fn check_room(&self, size: u64) -> Result<(), StoreError> {
        if self.best(size)?.has_room(size) { Ok(()) } else { Err(StoreError::Full { source: None }) }
    }

    /// The directory for a new image: of those with room for `size` bytes, the highest priority, then the most free space.
    pub(super) fn best(&self, size: u64) -> Result<&Directory, StoreError> {
        if !self.several {
            return self.all().next().ok_or(StoreError::Full { source: None });
        }
        for group in &self.by_priority {
            let mut best = None;
            let mut most = 0;
            for directory in group {
                let free = free_space(&directory.path)?;
                if free >= size && free > most {
                    (best, most) = (Some(directory), free);
                }
            }
            if let Some(best) = best {
                return Ok(best);
            }
        }
        tracing::error!(bytes = size, "no directory of the file store has enough space left");
        Err(StoreError::NoRoom { requested: size })
    }
}

impl Directory {
    /// How files can be written in it; `None` while its disk is full.
    ///
    /// # Errors
    /// Why none can, in words for the operator.
    pub(super) fn kind(&self) -> Result<Option<Kind>, String> {
        match self.kind.get() {
            Some(kind) => Ok(Some(*kind)),
            None => Ok(draft::probe(Path::new(&self.path))?.map(|kind| *self.kind.get_or_init(|| kind))),
        }
    }

    /// Takes it for one where files can be written so.
    #[cfg(test)]
    pub(super) fn set_kind(&self, kind: Kind) {
        self.kind.set(kind).unwrap();
    }

    /// Whether so many bytes are free, those included that are kept for root.
    fn has_room(&self, size: u64) -> bool {
        statvfs(self.path.as_str())
            .map_or(true, |space| space.blocks_free().saturating_mul(space.fragment_size()) >= size)
    }

    fn new(path: &str) -> Self {
        Self { path: path.to_owned(), kind: OnceLock::new() }
    }

    /// The path of an entry, joined as Python's `os.path.join` does.
    pub(super) fn entry(&self, name: &str) -> String {
        let slash = if self.path.ends_with('/') { "" } else { "/" };
        format!("{}{slash}{name}", self.path)
    }

    /// Whether a path lies inside.
    pub(super) fn contains(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| self.path.ends_with('/') || rest.starts_with('/'))
    }
}

fn split_priority(text: &str) -> Result<(&str, i64), String> {
    let (path, priority) = text.rsplit_once(':').unwrap_or((text, ""));
    let (path, priority) = (path.trim(), priority.trim());
    if path.is_empty() {
        return Err("Invalid directory specified in filesystem configuration".to_owned());
    }
    if priority.is_empty() {
        return Ok((path, 0));
    }
    let invalid = |_| format!("Invalid priority value {priority} in filesystem configuration");
    Ok((path, priority.parse().map_err(invalid)?))
}

fn free_space(path: &str) -> Result<u64, StoreError> {
    let space = statvfs(path)
        .map_err(|error| StoreError::system(format!("asking for the free space of {path}"), error.into()))?;
    Ok(space.blocks_available().saturating_mul(space.block_size()))
}

fn open_door(path: &Path, permissions: u32) -> std::io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    let others = if permissions & 0o007 == 0 { 0 } else { 0o001 };
    let group = if permissions & 0o070 == 0 { 0 } else { 0o010 };
    if mode | others | group == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode | others | group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(single: &str, several: &[&str]) -> FileOptions {
        FileOptions {
            filesystem_store_datadir: single.to_owned(),
            filesystem_store_datadirs: several.iter().map(|&text| text.to_owned()).collect(),
            ..FileOptions::default()
        }
    }

    fn paths(directories: &Directories) -> Vec<Vec<&str>> {
        directories.by_priority.iter().map(|group| group.iter().map(|one| one.path.as_str()).collect()).collect()
    }

    #[test]
    fn priorities_group_and_order_the_directories() {
        let several = ["/low", "/high:200", "/mid: 100 ", "/mid2:100", "/neg:-1", "/low2:", "/low"];
        let directories = Directories::parse(&options("", &several)).unwrap();
        assert_eq!(paths(&directories), [vec!["/high"], vec!["/mid", "/mid2"], vec!["/low", "/low2"], vec!["/neg"]]);
    }

    #[test]
    fn the_default_directory_gives_way_to_several() {
        let default = FileOptions::default().filesystem_store_datadir;
        assert_eq!(paths(&Directories::parse(&options(&default, &["/a"])).unwrap()), [["/a"]]);
        assert_eq!(paths(&Directories::parse(&options(&default, &[])).unwrap()), [[default.as_str()]]);
    }

    #[test]
    fn bad_directories_are_refused_in_words() {
        for (single, several, words) in [
            ("", vec![], "Specify at least"),
            ("/a", vec!["/b"], "Specify either"),
            ("", vec!["/a:x"], "Invalid priority value x"),
            ("", vec![":5"], "Invalid directory"),
            ("", vec!["/a:1", "/a:2"], "specified multiple times"),
        ] {
            let error = Directories::parse(&options(single, &several)).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn entries_join_and_contain_as_paths_do() {
        for (directory, entry) in [("/a", "/a/x"), ("/a/", "/a/x"), ("rel", "rel/x")] {
            let directory = Directory::new(directory);
            assert_eq!(directory.entry("x"), entry);
            assert!(directory.contains(entry));
        }
        assert!(!Directory::new("/a/b").contains("/a/bc/x"));
        assert!(!Directory::new("/a/b").contains("/a/b"));
    }

    #[test]
    fn an_image_larger_than_every_disk_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().to_str().unwrap();
        let directories = Directories::parse(&options("", &[path])).unwrap();
        assert_eq!(directories.best(1).unwrap().path, path);
        let error = directories.best(1 << 62).err().unwrap().to_string();
        assert_eq!(
            error,
            "There is no enough disk space left on the image storage media. requested=4611686018427387904"
        );
    }

    #[test]
    fn preparing_makes_directories_and_opens_doors() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let directories = Directories::parse(&options(path.to_str().unwrap(), &[])).unwrap();
        directories.prepare(None).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        directories.prepare(Some(0o644)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o711);

        fs::write(place.path().join("file"), "").unwrap();
        for (name, words) in [("file", "is not a directory"), ("file/below", "Unable to create datadir")] {
            let path = place.path().join(name);
            let directories = Directories::parse(&options(path.to_str().unwrap(), &[])).unwrap();
            let error = directories.prepare(None).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
