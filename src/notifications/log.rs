//! The log as a listener.

use tracing::{debug, info};

use super::{Change, Event, ImageEvent, Listener, MetadefChange, MetadefEvent};

/// Writes what concerns data and its availability at level INFO, the rest, which the access log tells too, at DEBUG.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogListener;

impl Listener for LogListener {
    fn notice(&self, event: &Event<'_>) {
        match event {
            Event::Image(event) => image(event),
            Event::Metadef(event) => metadef(event),
        }
    }
}

fn metadef(event: &MetadefEvent<'_>) {
    let (name, namespace, part) = (event.name(), event.namespace, event.part_name());
    match event.change {
        MetadefChange::Updated { old_name } => {
            debug!(namespace, event = name, name = part, old_name, "metadata definition has changed");
        }
        MetadefChange::Created => debug!(namespace, event = name, name = part, "metadata definition created"),
        MetadefChange::Deleted
        | MetadefChange::ObjectsCleared
        | MetadefChange::PropertiesCleared
        | MetadefChange::TagsCleared => debug!(namespace, event = name, name = part, "metadata definition deleted"),
    }
}

fn image(event: &ImageEvent<'_>) {
    let (name, image_id) = (event.name(), event.image.id);
    match event.change {
        Change::Uploaded { bytes } => info!(image_id, event = name, bytes, "image data stored"),
        Change::Deactivated => info!(image_id, event = name, "image is deactivated now"),
        Change::Reactivated => info!(image_id, event = name, "image is active now"),
        Change::Sent { bytes, expected, receiver } => {
            debug!(image_id, event = name, bytes, expected, project_id = receiver.project, "image data sent");
        }
        Change::UploadFailed { reason } => debug!(image_id, event = name, error = reason, "image data not stored"),
        Change::Prepared { store } => debug!(image_id, event = name, store, "image data is coming"),
        Change::MemberAdded(member) | Change::MemberUpdated(member) => {
            debug!(image_id, event = name, member = member.member, status = member.status, "image is shared");
        }
        Change::MemberRemoved { member } => debug!(image_id, event = name, member, "image is shared no longer"),
        Change::Created | Change::Updated | Change::Deleted | Change::Activated => {
            debug!(image_id, event = name, owner = event.image.owner, "image has changed");
        }
    }
}
