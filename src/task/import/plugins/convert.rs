//! Converts staged data into the format that the operator wants (upstream: `glance/async_/flows/plugins/image_conversion.py`).

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tracing::{error, info, warn};

use super::interrupt::{Interrupt, Original};
use super::outcome::{Findings, Percent, PluginError, Staged};
use super::qemu_img::QemuImg;
use crate::config::Config;
use crate::inspect::{self, Format, Inspector, Rejection};
use crate::schema::python::or_none;
use crate::sys::child::ChildLimits;
use crate::sys::crash_point::crash_point;

/// Seconds of processor time for a look at a file; upstream's `QEMU_IMG_PROC_LIMITS`.
const CPU_OF_A_LOOK: u64 = 2;
/// The same by the clock, on a machine that has much to do.
const PATIENCE_FOR_A_LOOK: Duration = Duration::from_secs(60);
/// Bytes of a piece that is inspected.
const PIECE: usize = 64 << 10;

/// What is converted to what, and what that may take.
#[derive(Debug)]
pub(in crate::task) struct Conversion {
    target: String,
    vmdk_types: Vec<String>,
    inspection: inspect::Options,
    qemu_img: QemuImg,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::task) struct Introspected {
    /// As `disk_format` of an image.
    pub(in crate::task) format: &'static str,
    /// Bytes of the disk inside.
    pub(in crate::task) virtual_size: u64,
}

impl Conversion {
    pub(in crate::task) fn new(config: &Config) -> Self {
        let positive = |value: i64| u64::try_from(value).unwrap_or(0);
        let service = &config.service;
        let limits = ChildLimits {
            memory: positive(service.conversion_memory).saturating_mul(1 << 20),
            cpu: positive(service.conversion_time),
            file: positive(config.default.image_size_cap),
        };
        Self {
            target: config.image_conversion.output_format.clone(),
            vmdk_types: config.image_format.vmdk_allowed_types.clone(),
            inspection: inspect::Options::from(&config.image_format),
            qemu_img: QemuImg {
                program: "qemu-img".into(),
                limits,
                patience: Duration::from_secs(positive(service.conversion_time)),
            },
        }
    }

    /// Looks at the staged file with an inspector of our own before qemu-img sees it, and at what comes out.
    ///
    /// # Errors
    /// The data is not what it claims to be or refers to other files; or qemu-img fails. The staged file is as it was, and there is
    /// no other.
    pub(super) fn run(
        &self,
        staged: &Staged,
        interrupt: &Interrupt,
        progress: &dyn Fn(Percent),
    ) -> Result<Findings, PluginError> {
        let source = staged.path.as_path();
        let original = Original::at(source)?;
        let claimed = or_none(staged.disk_format.as_deref());
        let detected = self.inspect(source, interrupt)?;
        if detected == Format::Iso {
            // A disc stays as it is.
            return if claimed == "iso" { Ok(Findings::default()) } else { Err(disallowed()) };
        }
        if plain(detected) != claimed {
            error!(claimed, %detected, "an image to be converted is not what it claims to be");
            return Err(refused("Image format mismatch"));
        }
        crash_point("convert.inspected");
        let virtual_size = self.look(claimed, source, interrupt)?;
        crash_point("convert.looked");
        let findings = Findings { virtual_size: Some(virtual_size), ..Findings::default() };
        if claimed == self.target {
            return Ok(findings);
        }
        let target = Output::beside(source, &self.target);
        self.convert((claimed, source), (&self.target, &target.path), virtual_size, interrupt, progress)?;
        crash_point("convert.written");
        let made = plain(self.inspect(&target.path, interrupt)?);
        if made != self.target {
            // One format hidden in another.
            error!(made, wanted = self.target, "a converted image is not what it should be");
            return Err(refused("Converted image in unexpected format"));
        }
        let size = fs::metadata(&target.path).map_err(PluginError::io("looking at the converted image"))?.len();
        original.check(interrupt)?;
        fs::remove_file(source).map_err(PluginError::io("removing the image that was converted"))?;
        crash_point("convert.replaced");
        info!(source = %source.display(), size, disk_format = self.target, "image converted");
        Ok(Findings {
            path: Some(target.keep()),
            size: Some(size),
            disk_format: Some(self.target.clone()),
            container_format: Some("bare".to_owned()),
            ..findings
        })
    }

    /// The format that a file is in, whatever it claims, and that is safe to work on (upstream: `introspect.py`, and the checks of
    /// `_ImportToFS` in `base_import.py`). Blocks.
    ///
    /// # Errors
    /// It refers to other files, or qemu-img sees something else in it.
    pub(in crate::task) fn introspect(&self, path: &Path, interrupt: &Interrupt) -> Result<Introspected, PluginError> {
        let detected = self.inspect(path, interrupt)?;
        let virtual_size = self.look(known_to_qemu(detected), path, interrupt)?;
        Ok(Introspected { format: plain(detected), virtual_size })
    }

    /// Writes the data of a file to another one in another format. `virtual_size`: bytes of the disk inside. Blocks.
    ///
    /// # Errors
    /// More would be written than may be, or qemu-img fails; there is no other file then.
    pub(in crate::task) fn rewrite(
        &self,
        from: (&str, &Path),
        (target, path): (&str, &Path),
        virtual_size: u64,
        interrupt: &Interrupt,
        progress: &dyn Fn(Percent),
    ) -> Result<(), PluginError> {
        let written = Output { path: path.to_owned(), is_kept: false };
        self.convert(from, (target, path), virtual_size, interrupt, progress)?;
        written.keep();
        Ok(())
    }

    /// As [`Conversion::rewrite`], but that a part of the other file may be left. How much of a disk formats other than raw hold, shows
    /// when they are written; qemu-img may not go beyond the cap.
    fn convert(
        &self,
        from: (&str, &Path),
        to: (&str, &Path),
        virtual_size: u64,
        interrupt: &Interrupt,
        progress: &dyn Fn(Percent),
    ) -> Result<(), PluginError> {
        if to.0 == Format::Raw.name() && virtual_size > self.qemu_img.limits.file {
            return Err(refused("The disk inside the image is larger than image_size_cap"));
        }
        self.qemu_img.convert(from, to, interrupt, progress)
    }

    /// The format of a file that is safe to work on.
    fn inspect(&self, path: &Path, interrupt: &Interrupt) -> Result<Format, PluginError> {
        let mut file = File::open(path).map_err(PluginError::io("opening the image for a look"))?;
        let mut inspector = Inspector::new();
        let mut piece = vec![0; PIECE];
        while !inspector.is_settled() {
            interrupt.check()?;
            let length = file.read(&mut piece).map_err(PluginError::io("reading the image for a look"))?;
            if length == 0 {
                break;
            }
            inspector.feed(piece.get(..length).unwrap_or_default());
            interrupt.went_on(length as u64);
        }
        let (format, warnings) = inspector.finish().safety_check(&self.inspection).map_err(|rejection| {
            error!(path = %path.display(), "{rejection}");
            match rejection {
                Rejection::Unsafe { .. } => disallowed(),
                _ => refused("Image format detection failed"),
            }
        })?;
        for warning in warnings {
            warn!(path = %path.display(), "{warning}");
        }
        Ok(format)
    }

    /// Whether qemu-img sees nothing dangerous either. Gives the bytes of the disk.
    fn look(&self, claimed: &str, source: &Path, interrupt: &Interrupt) -> Result<u64, PluginError> {
        let limits = ChildLimits { cpu: CPU_OF_A_LOOK, ..self.qemu_img.limits };
        let looking = QemuImg { limits, patience: PATIENCE_FOR_A_LOOK, ..self.qemu_img.clone() };
        let output = looking.info(claimed, source, interrupt)?;
        let seen: Value = serde_json::from_slice(&output)
            .map_err(|error| PluginError::Program(format!("qemu-img info says what is no JSON: {error}")))?;
        self.check(claimed, &seen)
    }

    fn check(&self, claimed: &str, seen: &Value) -> Result<u64, PluginError> {
        if seen["format"] != claimed {
            return Err(refused("Image metadata disagrees about format"));
        }
        if seen.get("backing-filename").is_some() {
            return Err(refused("QCOW images with backing files are not allowed"));
        }
        let special = &seen["format-specific"]["data"];
        if special.get("data-file").is_some_and(|file| !file.is_null()) {
            return Err(refused("QCOW images with data-file set are not allowed"));
        }
        if claimed == "vmdk" {
            let kind = special["create-type"].as_str().filter(|kind| !kind.is_empty());
            let kind = kind.ok_or_else(|| refused("Unable to determine VMDK create-type"))?;
            if self.vmdk_types.is_empty() {
                return Err(refused("Image is a VMDK, but no VMDK createType is specified"));
            }
            if !self.vmdk_types.iter().any(|allowed| allowed == kind) {
                warn!(kind, "an image is a VMDK of a type that vmdk_allowed_types does not name");
                return Err(refused("Invalid VMDK create-type specified"));
            }
        }
        Ok(seen["virtual-size"].as_u64().unwrap_or(0))
    }
}

/// A partition table is the beginning of a plain disk.
fn plain(format: Format) -> &'static str {
    if format == Format::Gpt { Format::Raw.name() } else { format.name() }
}

/// As qemu-img calls it; what it does not know is a plain disk to it.
fn known_to_qemu(format: Format) -> &'static str {
    match format {
        Format::Vhd => "vpc",
        Format::Iso | Format::Luks => Format::Raw.name(),
        other => plain(other),
    }
}

fn refused(text: &str) -> PluginError {
    PluginError::Refused(text.to_owned())
}

fn disallowed() -> PluginError {
    refused("Image has disallowed configuration")
}

/// The file that qemu-img writes; it goes unless it is kept.
struct Output {
    path: PathBuf,
    is_kept: bool,
}

impl Output {
    fn beside(source: &Path, extension: &str) -> Self {
        let mut path = source.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        Self { path: path.into(), is_kept: false }
    }

    fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_kept {
            // There may be none yet.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
