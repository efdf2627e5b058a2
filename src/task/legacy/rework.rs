//! What becomes of a downloaded file before it is stored: out of its archive, into another format, and looked at.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::ova::{self, Archived};
use crate::image::Findings;
use crate::sys::background::poll_in_background;
use crate::sys::crash_point::crash_point;
use crate::task::import::{Conversion, Decompression, Interrupt, Percent, PluginError, Progress, aside};

/// Pieces of a download that may wait for the disk.
const AHEAD: usize = 16;

/// A folder of the service, and what is done there.
#[derive(Debug)]
pub(in crate::task) struct Rework {
    /// `[task] work_dir`, or that of the store `os_glance_tasks_store`.
    pub(super) folder: PathBuf,
    /// Bytes of a file.
    pub(super) most: u64,
    /// `[taskflow_executor] conversion_format`
    pub(super) target: Option<String>,
    pub(super) disks: Conversion,
    /// How much may come out of a compressed archive.
    pub(super) unpacking: Decompression,
    /// Names what of an OVF file becomes properties.
    pub(super) metadata: Option<PathBuf>,
}

impl Rework {
    /// The file with the data of an image, and those that are beside it for a while.
    pub(super) fn files(&self, image_id: &str) -> [PathBuf; 3] {
        ["", ".extracted", ".converted"].map(|suffix| self.folder.join(format!("{image_id}{suffix}")))
    }

    /// Writes data to a new file, on a thread of which `progress` knows until it has ended.
    ///
    /// # Errors
    /// There is more than may be, it does not come whole, or cannot be written.
    pub(super) async fn keep(
        &self,
        path: &Path,
        mut data: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
        progress: &Progress,
    ) -> Result<(), PluginError> {
        let (pieces, ahead) = mpsc::channel(AHEAD);
        let (folder, path, most) = (self.folder.clone(), path.to_owned(), self.most);
        let mut writing = pin!(aside(progress, move |interrupt| write(&folder, &path, most, ahead, interrupt)));
        let reading = poll_in_background(async move {
            while let Some(piece) = data.next().await {
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
        });
        tokio::select! {
            written = &mut writing => written,
            read = reading => {
                let written = writing.await;
                read.map_err(PluginError::io("receiving the data"))?;
                written
            }
        }
    }

    /// Brings the file at the first path into its final form; blocks. `source`: what format the image says it has.
    ///
    /// # Errors
    /// The data is dangerous, or not what it must be.
    pub(super) fn run(
        &self,
        [path, extracted, converted]: &[PathBuf; 3],
        is_archive: bool,
        source: &str,
        interrupt: &Interrupt,
        tell: &dyn Fn(Percent),
    ) -> Result<Findings, PluginError> {
        let replace = |from: &Path| fs::rename(from, path).map_err(PluginError::io("replacing the data"));
        let mut found = self.disks.introspect(path, interrupt)?;
        let mut properties = Vec::new();
        if is_archive {
            let interesting = ova::interesting(self.metadata.as_deref());
            let archive = Archived { path, unpacking: &self.unpacking, interrupt };
            properties = ova::extract(&archive, extracted, &interesting, self.most)?;
            crash_point("make.extracted");
            replace(extracted)?;
            found = self.disks.introspect(path, interrupt)?;
        }
        if let Some(target) = &self.target {
            // qemu-img is told the format: in one that the look has not seen, the data may name files of this host. It has a name
            // of its own for one of them, and takes no other.
            if found.format != source && (found.format, source) != ("vhd", "vpc") {
                return Err(PluginError::Refused("Image format mismatch".to_owned()));
            }
            self.disks.rewrite((source, path), (target, converted), found.virtual_size, interrupt, tell)?;
            crash_point("make.converted");
            replace(converted)?;
        }
        let disk_format = self.disks.introspect(path, interrupt)?.format.to_owned();
        let container_format = is_archive.then(|| "bare".to_owned());
        Ok(Findings { disk_format, container_format, properties })
    }
}

/// Writes what comes to a new file, up to `most` bytes; blocks.
fn write(
    folder: &Path,
    path: &Path,
    most: u64,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    interrupt: &Interrupt,
) -> Result<(), PluginError> {
    let failed = || PluginError::io("keeping the downloaded data");
    fs::create_dir_all(folder).map_err(failed())?;
    let mut file = File::create_new(path).map_err(failed())?;
    let mut left = most;
    while let Some(piece) = pieces.blocking_recv() {
        interrupt.check()?;
        let piece = piece.map_err(failed())?;
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| PluginError::Refused("The downloaded data is larger than image_size_cap".to_owned()))?;
        file.write_all(&piece).map_err(failed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use futures_util::stream;
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;

    /// Whoever waits for longer waits for ever.
    const LONG: Duration = Duration::from_secs(30);

    fn rework(folder: &Path, most: u64, target: Option<&str>) -> Rework {
        rework_with(&Config::default(), folder, most, target)
    }

    fn rework_with(config: &Config, folder: &Path, most: u64, target: Option<&str>) -> Rework {
        let disks = Conversion::new(config);
        let (folder, target) = (folder.to_owned(), target.map(str::to_owned));
        let unpacking = Decompression::new(config);
        Rework { folder, most, target, disks, unpacking, metadata: None }
    }

    #[tokio::test]
    async fn no_more_is_kept_than_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let work = rework(folder.path(), 5, None);
        let data =
            |pieces: &'static [&'static [u8]]| stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))));
        let ([path, ..], progress) = (work.files("a"), Progress::default());
        work.keep(&path, data(&[b"123", b"45"]), &progress).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"12345");
        work.keep(&path, data(&[b"x"]), &progress).await.unwrap_err();
        let error = work.keep(&folder.path().join("b"), data(&[b"123", b"456"]), &progress).await.unwrap_err();
        assert!(error.to_string().contains("image_size_cap"), "{error}");
    }

    #[tokio::test]
    async fn a_download_that_breaks_or_stops_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (work, progress) = (rework(folder.path(), 5, None), Progress::default());
        let path = |name: &str| folder.path().join(name);
        let broken = stream::iter([Ok(Bytes::from_static(b"1")), Err(io::Error::other("broke off"))]);
        let error = work.keep(&path("broken"), broken, &progress).await.unwrap_err();
        assert!(error.to_string().contains("broke off"), "{error}");
        // What is too much is refused although nothing more comes.
        let stops = || stream::iter([Ok(Bytes::from_static(b"123456"))]).chain(stream::pending());
        let refused = timeout(LONG, work.keep(&path("large"), stops(), &progress)).await;
        assert!(refused.unwrap().unwrap_err().to_string().contains("image_size_cap"));
        // Nobody waits any more, and its thread ends.
        let small = rework(folder.path(), 6, None);
        let given_up = timeout(Duration::from_millis(50), small.keep(&path("given up"), stops(), &progress)).await;
        assert!(given_up.is_err());
        progress.threads().close();
        timeout(LONG, progress.threads().wait()).await.unwrap();
    }

    /// Only what is written counts against the cap, not what the disk could hold.
    #[test]
    fn a_sparse_disk_may_be_larger_than_the_cap_unless_it_is_to_be_raw() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.default.image_size_cap = 16 << 20;
        for (target, expected) in
            [(None, Ok("qcow2")), (Some("vmdk"), Ok("vmdk")), (Some("raw"), Err("image_size_cap"))]
        {
            let work = rework_with(&config, folder.path(), 16 << 20, target);
            let files = work.files("a");
            let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&files[0]).arg("1G").output();
            assert!(made.expect("qemu-img: apt-get install qemu-utils").status.success());
            match (work.run(&files, false, "qcow2", &Interrupt::default(), &|_| ()), expected) {
                (Ok(found), Ok(format)) => assert_eq!(found.disk_format, format),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                other => panic!("{target:?}: {other:?}"),
            }
            assert!(!files[2].try_exists().unwrap());
        }
    }

    #[test]
    fn a_disk_is_converted_and_dangerous_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let work = rework(folder.path(), 1 << 30, Some("raw"));
        let files = work.files("a");
        let make = |arguments: &[&str]| {
            let done = Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2"])
                .args(arguments)
                .arg(&files[0])
                .arg("1M")
                .output();
            assert!(done.expect("qemu-img: apt-get install qemu-utils").status.success());
        };
        let run = |format: &str| work.run(&files, false, format, &Interrupt::default(), &|_| ());
        make(&[]);
        let found = Findings { disk_format: "raw".to_owned(), container_format: None, properties: Vec::new() };
        assert_eq!(run("qcow2").unwrap(), found);
        assert_eq!(fs::metadata(&files[0]).unwrap().len(), 1 << 20);
        assert!(!files[2].try_exists().unwrap());
        make(&["-b", "/etc/hostname", "-F", "raw"]);
        assert!(run("qcow2").unwrap_err().to_string().contains("disallowed configuration"));
        fs::write(&files[0], vec![0; 4096]).unwrap();
        assert_eq!(run("qcow2").unwrap_err().to_string(), "Image format mismatch");
        // qemu-img has a name of its own for VHD.
        let done = Command::new("qemu-img").args(["create", "-q", "-f", "vpc"]).arg(&files[0]).arg("1M").output();
        assert!(done.unwrap().status.success());
        assert_eq!(run("vpc").unwrap().disk_format, "raw");
        assert_eq!(run("vpc").unwrap_err().to_string(), "Image format mismatch");
        // A disk by description, which the look does not take for one: qemu-img must not be told that it is.
        let text =
            "\u{e9}# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/hostname\" 0\n";
        fs::write(&files[0], text.repeat(20)).unwrap();
        assert_eq!(run("vmdk").unwrap_err().to_string(), "Image format mismatch");
    }
}
