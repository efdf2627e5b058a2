//! What the domain tells its listeners.

use super::images::Images;
use super::model::Image;
use crate::notifications::{Change, Event, ImageEvent, Notifier, Receiver, Subject};

impl Image {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { id: &self.id, owner: self.owner.as_deref() }
    }
}

impl Images {
    /// Tells of a change that has taken effect.
    pub(super) fn announce(&self, image: &Image, change: Change<'_>) {
        self.announce_of(image.subject(), change);
    }

    /// The same, where an event's words of the image are all that is there.
    pub(super) fn announce_of(&self, image: Subject<'_>, change: Change<'_>) {
        self.notifier.emit(&Event::Image(ImageEvent { image, change }));
    }

    /// An account of data that goes out to somebody, to be closed when the last byte has left. `expected`: bytes that are to leave, where
    /// that is known.
    pub fn sending(&self, image: &Image, expected: Option<u64>, project: Option<&str>, user: Option<&str>) -> Sending {
        Sending {
            notifier: self.notifier.clone(),
            image_id: image.id.clone(),
            owner: image.owner.clone(),
            expected,
            project: project.map(str::to_owned),
            user: user.map(str::to_owned),
        }
    }
}

/// Data on its way out; in the extensions of the answer that carries it.
#[derive(Clone, Debug)]
pub struct Sending {
    notifier: Notifier,
    image_id: String,
    owner: Option<String>,
    /// Bytes that are to leave, where that is known.
    pub expected: Option<u64>,
    project: Option<String>,
    user: Option<String>,
}

impl Sending {
    /// Tells how many bytes have left, when no more will.
    pub fn finish(self, bytes: u64) {
        let receiver = Receiver { project: self.project.as_deref(), user: self.user.as_deref() };
        let image = Subject { id: &self.image_id, owner: self.owner.as_deref() };
        let change = Change::Sent { bytes, expected: self.expected, receiver };
        self.notifier.emit(&Event::Image(ImageEvent { image, change }));
    }
}
