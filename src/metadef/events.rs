//! What the domain tells its listeners.

use super::metadefs::Metadefs;
use crate::db::metadefs::{ItemKind, NewNamespace};
use crate::notifications::{Event, MetadefChange, MetadefEvent, MetadefPart};

impl Metadefs {
    /// Tells of a change that has taken effect.
    pub(super) fn announce(&self, namespace: &str, part: MetadefPart<'_>, change: MetadefChange<'_>) {
        self.notifier.emit(&Event::Metadef(MetadefEvent { namespace, part, change }));
    }

    /// Tells of a new namespace and all that came with it, in the order in which upstream stores it.
    pub(super) fn announce_new(&self, new: &NewNamespace) {
        let created = |part| self.announce(&new.fields.namespace, part, MetadefChange::Created);
        created(MetadefPart::Namespace);
        new.associations.iter().for_each(|association| created(MetadefPart::ResourceType(&association.name)));
        new.objects.iter().for_each(|object| created(MetadefPart::Object(&object.name)));
        new.tags.iter().for_each(|tag| created(MetadefPart::Tag(&tag.name)));
        new.properties.iter().for_each(|property| created(MetadefPart::Property(&property.name)));
    }
}

pub(super) fn part(kind: ItemKind, name: &str) -> MetadefPart<'_> {
    match kind {
        ItemKind::Object => MetadefPart::Object(name),
        ItemKind::Property => MetadefPart::Property(name),
        ItemKind::Tag => MetadefPart::Tag(name),
    }
}

pub(super) fn cleared(kind: ItemKind) -> MetadefChange<'static> {
    match kind {
        ItemKind::Object => MetadefChange::ObjectsCleared,
        ItemKind::Property => MetadefChange::PropertiesCleared,
        ItemKind::Tag => MetadefChange::TagsCleared,
    }
}
