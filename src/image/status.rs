//! The life of an image's data as a state machine.

use std::fmt;

use super::word::keep;
use crate::db::model::ImageRecord;

/// Where an image stands (upstream: `glance/domain/__init__.py`, `Image.valid_state_targets`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Registered, without data.
    Queued,
    /// Data is on its way into the store.
    Saving,
    /// Data is on its way into the staging area.
    Uploading,
    /// An import runs.
    Importing,
    /// Data is there.
    Active,
    /// Data is there, but only administrators may read it.
    Deactivated,
    /// An upload failed; no longer entered, found in old databases.
    Killed,
    /// Deleted, the data waits for the scrubber.
    PendingDelete,
    Deleted,
    /// In the database stands another word. Such an image is shown with it, and can be deleted.
    Unknown(&'static str),
}

/// A step that the state machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Image status transition from {from} to {to} is not allowed")]
pub struct TransitionRefused {
    pub from: Status,
    pub to: Status,
}

impl Status {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Killed => "killed",
            Self::PendingDelete => "pending_delete",
            Self::Deleted => "deleted",
            Self::Unknown(word) => word,
        }
    }

    /// Whether the machine has a step from here to `to`.
    ///
    /// # Errors
    /// [`TransitionRefused`], whose text is upstream's.
    pub fn transition(self, to: Self) -> Result<(), TransitionRefused> {
        if self.successors().contains(&to) { Ok(()) } else { Err(TransitionRefused { from: self, to }) }
    }

    /// Whether the image has no data yet. A location that it has nevertheless is one that was told, and refused or not looked at to
    /// the end: nobody reads there.
    pub const fn awaits_data(self) -> bool {
        matches!(self, Self::Queued | Self::Saving | Self::Uploading | Self::Importing)
    }

    /// Whether disk and container format must be known before the step from here to `to`.
    pub fn needs_formats(self, to: Self) -> bool {
        matches!(self, Self::Queued | Self::Uploading) && matches!(to, Self::Saving | Self::Active | Self::Importing)
    }

    const fn successors(self) -> &'static [Self] {
        match self {
            Self::Queued => &[Self::Saving, Self::Uploading, Self::Importing, Self::Active, Self::Deleted],
            Self::Saving => &[Self::Active, Self::Killed, Self::Deleted, Self::Queued],
            Self::Uploading => &[Self::Importing, Self::Queued, Self::Deleted],
            Self::Importing => &[Self::Active, Self::Deleted, Self::Queued],
            Self::Active => &[Self::PendingDelete, Self::Deleted, Self::Deactivated],
            Self::Killed => &[Self::Deleted],
            // Upstream has no steps from here and fails.
            Self::Unknown(_) => &[Self::PendingDelete, Self::Deleted],
            Self::PendingDelete => &[Self::Deleted, Self::Active],
            Self::Deleted => &[],
            Self::Deactivated => &[Self::Active, Self::Deleted],
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Of an image in the database.
impl From<&ImageRecord> for Status {
    fn from(image: &ImageRecord) -> Self {
        image.status.as_str().into()
    }
}

/// Of a word in the database.
impl From<&str> for Status {
    fn from(word: &str) -> Self {
        ALL.into_iter().find(|status| status.as_str() == word).unwrap_or_else(|| Self::Unknown(keep(word)))
    }
}

/// Of a word in the database.
impl From<String> for Status {
    fn from(word: String) -> Self {
        word.as_str().into()
    }
}

/// As a word in the database.
impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

const ALL: [Status; 9] = [
    Status::Queued,
    Status::Saving,
    Status::Uploading,
    Status::Importing,
    Status::Active,
    Status::Deactivated,
    Status::Killed,
    Status::PendingDelete,
    Status::Deleted,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A row for each status in the order of `ALL`, a column for each target in the same order.
    const STEPS: [&str; 9] = [
        //qsuiAdkpD
        "-xxxx---x", // queued
        "x---x-x-x", // saving
        "x--x----x", // uploading
        "x---x---x", // importing
        "-----x-xx", // active
        "----x---x", // deactivated
        "--------x", // killed
        "----x---x", // pending_delete
        "---------", // deleted
    ];

    #[test]
    fn has_exactly_upstreams_steps() {
        for (row, from) in ALL.into_iter().enumerate() {
            for (column, to) in ALL.into_iter().enumerate() {
                let wanted = STEPS[row].as_bytes()[column] == b'x';
                assert_eq!(from.transition(to).is_ok(), wanted, "{from} to {to}");
            }
        }
    }

    #[test]
    fn data_is_awaited_until_it_is_there() {
        let awaiting = ALL.into_iter().filter(|status| status.awaits_data()).map(Status::as_str);
        assert_eq!(awaiting.collect::<Vec<_>>(), ["queued", "saving", "uploading", "importing"]);
    }

    #[test]
    fn words_are_read_back() {
        for status in ALL {
            assert_eq!(Status::from(status.as_str()), status);
        }
        let odd = Status::from("busy");
        assert_eq!((odd, odd.to_string().as_str()), (Status::Unknown("busy"), "busy"));
    }

    #[test]
    fn an_image_of_unknown_status_can_be_deleted_and_nothing_else() {
        let odd = Status::from("busy");
        for to in ALL {
            let is_deletion = matches!(to, Status::Deleted | Status::PendingDelete);
            assert_eq!(odd.transition(to).is_ok(), is_deletion, "{to}");
        }
        let refused = odd.transition(Status::Active).unwrap_err();
        assert_eq!(refused.to_string(), "Image status transition from busy to active is not allowed");
    }

    #[test]
    fn refusal_has_upstreams_words() {
        let refused = Status::Active.transition(Status::Saving).unwrap_err();
        assert_eq!(refused.to_string(), "Image status transition from active to saving is not allowed");
    }
}
