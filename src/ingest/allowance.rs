//! How much data may come.

use super::IngestError;

/// Bounds of one stream, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// The most that one object may hold.
    pub(crate) most: u64,
    /// What is left of a quota; `None`: there is none, or it cannot be told before the end.
    pub(crate) remaining: Option<u64>,
}

impl Allowance {
    /// Whether that many bytes may have come.
    ///
    /// # Errors
    /// [`IngestError::OverQuota`], [`IngestError::TooLarge`]
    pub(super) fn check(self, size: u64) -> Result<(), IngestError> {
        match self.remaining {
            Some(remaining) if size > remaining => Err(IngestError::OverQuota { size, remaining }),
            _ if size > self.most => Err(IngestError::TooLarge { most: self.most }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let both = Allowance { most: 10, remaining: Some(7) };
        assert!(both.check(7).is_ok());
        assert!(matches!(both.check(8), Err(IngestError::OverQuota { size: 8, remaining: 7 })));
        let wide = Allowance { most: 10, remaining: Some(100) };
        assert!(wide.check(10).is_ok());
        assert!(matches!(wide.check(11), Err(IngestError::TooLarge { most: 10 })));
        assert!(Allowance { most: 10, remaining: None }.check(10).is_ok());
    }
}
