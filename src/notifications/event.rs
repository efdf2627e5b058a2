//! Events as upstream's notifier has them (`glance/notifier.py`).

use super::metadef::MetadefEvent;
use crate::db::model::MemberRecord;

/// Something that has happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    Image(ImageEvent<'a>),
    Metadef(MetadefEvent<'a>),
}

impl Event<'_> {
    /// Upstream's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Image(event) => event.name(),
            Self::Metadef(event) => event.name(),
        }
    }

    /// What it is about: the id of an image, the name of a namespace.
    pub fn subject(&self) -> &str {
        match self {
            Self::Image(event) => event.image.id,
            Self::Metadef(event) => event.namespace,
        }
    }
}

/// Something that has happened to an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageEvent<'a> {
    pub image: Subject<'a>,
    pub change: Change<'a>,
}

/// The image that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    pub id: &'a str,
    /// Project id.
    pub owner: Option<&'a str>,
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Created,
    /// Fields, properties, tags, locations or the status have changed.
    Updated,
    /// Active no more: only administrators may read the data.
    Deactivated,
    /// Active again.
    Reactivated,
    Deleted,
    /// Data is about to be read from a client.
    Prepared {
        /// Id of the store.
        store: &'a str,
    },
    /// The data is durable, and the image known to have it.
    Uploaded {
        bytes: u64,
    },
    /// No data was kept.
    UploadFailed {
        reason: &'a (dyn std::error::Error + 'static),
    },
    /// The image is active for the first time.
    Activated,
    /// Data has left for a client.
    Sent {
        bytes: u64,
        /// Bytes that should have left, where that is known.
        expected: Option<u64>,
        receiver: Receiver<'a>,
    },
    /// The image is shared with a project.
    MemberAdded(&'a MemberRecord),
    /// A project has said what it thinks of that.
    MemberUpdated(&'a MemberRecord),
    /// The image is no longer shared with a project.
    MemberRemoved {
        /// Project id.
        member: &'a str,
    },
}

/// Who has got data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver<'a> {
    pub project: Option<&'a str>,
    pub user: Option<&'a str>,
}

impl ImageEvent<'_> {
    /// Upstream's name for it.
    pub fn name(&self) -> &'static str {
        match self.change {
            Change::Created => "image.create",
            Change::Updated | Change::Deactivated | Change::Reactivated => "image.update",
            Change::Deleted => "image.delete",
            Change::Prepared { .. } => "image.prepare",
            Change::Uploaded { .. } | Change::UploadFailed { .. } => "image.upload",
            Change::Activated => "image.activate",
            Change::Sent { .. } => "image.send",
            Change::MemberAdded(_) => "image.member.create",
            Change::MemberUpdated(_) => "image.member.update",
            Change::MemberRemoved { .. } => "image.member.delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_upstreams_names() {
        let receiver = Receiver { project: None, user: None };
        let reason = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let table = [
            (Change::Sent { bytes: 4, expected: Some(5), receiver }, "image.send"),
            (Change::Uploaded { bytes: 1 }, "image.upload"),
            (Change::UploadFailed { reason: &reason }, "image.upload"),
            (Change::Deactivated, "image.update"),
            (Change::MemberRemoved { member: "m" }, "image.member.delete"),
        ];
        for (change, name) in table {
            let event = ImageEvent { image: Subject { id: "i", owner: None }, change };
            assert_eq!(event.name(), name, "{event:?}");
        }
    }
}
