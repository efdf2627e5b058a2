//! Whether an image is acceptable as what it claims to be (upstream: `glance/location.py`, `ImageProxy.set_data`).

use super::{Failure, Format, Found, Inspection, Size};

/// Options of `[image_format]` that decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Reject data whose format contradicts the claim.
    pub require_image_format_match: bool,
    /// Names of checks whose failure only warns in an image that is a partition table.
    pub gpt_safety_checks_nonfatal: Vec<String>,
}

impl From<&crate::config::ImageFormatSection> for Options {
    fn from(section: &crate::config::ImageFormatSection) -> Self {
        Self {
            require_image_format_match: section.require_image_format_match,
            gpt_safety_checks_nonfatal: section.gpt_safety_checks_nonfatal.clone(),
        }
    }
}

/// The image is acceptable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Bytes of the disk; `None` leaves the image's as it is.
    pub virtual_size: Option<u64>,
    /// For the log.
    pub warnings: Vec<Warning>,
}

/// Something that is let through and should be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("image claims disk_format raw but is {0}")]
    Mislabelled(Format),
    /// Only where `require_image_format_match` is off.
    #[error("{0}; the image is accepted without safety checks")]
    Unmatched(Rejection),
    #[error("non-fatal safety checks failed ({})", list(.0))]
    Nonfatal(Vec<Failure>),
}

/// The image is not acceptable. The text is what the client is told, with status 415.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("Image disk_format {claimed} does not match stream data {found}")]
    Mismatch { claimed: String, found: Format },
    /// One format hidden in another.
    #[error("Multiple formats detected: {}", list(.0))]
    Ambiguous(Vec<Format>),
    /// The stream ended before all was seen that must be checked.
    #[error("Incomplete file cannot be safety checked")]
    Incomplete(Format),
    /// The reasons are for the log.
    #[error("Image failed safety checks")]
    Unsafe { found: Format, failures: Vec<Failure> },
    /// The headers contradict themselves.
    #[error("Image format inspection failed")]
    Nonsense(Format),
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

impl Inspection {
    /// Judges the data of an image in container `bare`; other containers are not inspected.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn verdict(&self, claimed_disk_format: &str, options: &Options) -> Result<Verdict, Rejection> {
        let mut verdict = Verdict::default();
        match self.judge(claimed_disk_format, options, &mut verdict) {
            Err(fatal @ Rejection::Unsafe { .. }) => Err(fatal),
            Err(mismatch) if options.require_image_format_match => Err(mismatch),
            Err(mismatch) => {
                verdict.warnings.push(Warning::Unmatched(mismatch));
                Ok(verdict)
            }
            Ok(()) => Ok(verdict),
        }
    }

    /// Whether the image may be worked on at all, whatever it claims.
    ///
    /// # Errors
    /// More than one format, or [`Rejection::Incomplete`], or [`Rejection::Unsafe`].
    pub fn safety_check(&self, options: &Options) -> Result<(Format, Vec<Warning>), Rejection> {
        let found = self.only()?;
        let mut warnings = Vec::new();
        check(found, options, &mut warnings)?;
        Ok((found.format, warnings))
    }

    fn judge(&self, claimed: &str, options: &Options, verdict: &mut Verdict) -> Result<(), Rejection> {
        let found = self.choose()?;
        let size = if found.format.name() == claimed {
            self.virtual_size(found)
        } else if found.format == Format::Raw && Format::by_name(claimed).is_none() {
            // Nothing is known of such formats, but that they are none of those that are.
            Ok(None)
        } else if claimed == Format::Raw.name() {
            // Upstream lets no second format pass here, not even that of a bootable ISO.
            self.only()?;
            verdict.warnings.push(Warning::Mislabelled(found.format));
            Ok(Some(self.actual_size()).filter(|&size| size > 0))
        } else {
            return Err(Rejection::Mismatch { claimed: claimed.to_owned(), found: found.format });
        };
        let checked = check(found, options, &mut verdict.warnings);
        match size {
            Ok(size) => {
                verdict.virtual_size = size;
                checked
            }
            // Upstream does not get to its checks then. Where formats need not match, that lets pass what they are to stop.
            Err(nonsense) if found.size == Size::Broken && options.require_image_format_match => Err(nonsense),
            Err(nonsense) => checked.and(Err(nonsense)),
        }
    }

    /// The one format that counts: an ISO that boots from a disk as well has a partition table in its system area.
    fn choose(&self) -> Result<&Found, Rejection> {
        match self.found() {
            [iso, gpt] if iso.format == Format::Iso && gpt.format == Format::Gpt => Ok(iso),
            _ => self.only(),
        }
    }

    fn only(&self) -> Result<&Found, Rejection> {
        match self.found() {
            [found] => Ok(found),
            several => Err(Rejection::Ambiguous(several.iter().map(|found| found.format).collect())),
        }
    }

    fn virtual_size(&self, found: &Found) -> Result<Option<u64>, Rejection> {
        let size = match found.size {
            Size::Known(size) => size,
            // A header beyond the end leaves nothing.
            Size::StreamWithout(header) => self.actual_size().saturating_sub(header).into(),
            Size::Broken => return Err(Rejection::Nonsense(found.format)),
        };
        match i64::try_from(size).map(i64::cast_unsigned) {
            Ok(0) => Ok(None),
            Ok(size) => Ok(Some(size)),
            // No database column holds it.
            Err(_) => Err(Rejection::Nonsense(found.format)),
        }
    }
}

fn check(found: &Found, options: &Options, warnings: &mut Vec<Warning>) -> Result<(), Rejection> {
    if !found.complete {
        return Err(Rejection::Incomplete(found.format));
    }
    let is_tolerated = |failure: &Failure| options.gpt_safety_checks_nonfatal.iter().any(|name| name == failure.check);
    if found.failures.is_empty() {
        Ok(())
    } else if found.format == Format::Gpt && found.failures.iter().all(is_tolerated) {
        warnings.push(Warning::Nonfatal(found.failures.clone()));
        Ok(())
    } else {
        Err(Rejection::Unsafe { found: found.format, failures: found.failures.clone() })
    }
}
