//! The fields of documents, in the order in which upstream writes them (upstream: `glance/api/v2/model/metadef_*.py`).

/// A document's fields.
pub(crate) struct Model {
    pub(super) fields: &'static [Field],
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) is_mandatory: bool,
}

/// What a field holds.
pub(super) enum Form {
    Text,
    /// A fraction is cut off.
    Integer,
    Flag,
    /// A text, or a number written as one; anything else becomes null.
    Bytes,
    Texts,
    One(&'static Model),
    Many(&'static Model),
    /// Documents by name.
    Named(&'static Model),
}

const fn field(name: &'static str, form: Form) -> Field {
    Field { name, form, is_mandatory: false }
}

const fn needed(name: &'static str, form: Form) -> Field {
    Field { name, form, is_mandatory: true }
}

pub(crate) static NAMESPACE: Model = Model {
    fields: &[
        needed("namespace", Form::Text),
        field("display_name", Form::Text),
        field("description", Form::Text),
        field("visibility", Form::Text),
        field("protected", Form::Flag),
        field("owner", Form::Text),
        field("created_at", Form::Text),
        field("updated_at", Form::Text),
        field("resource_type_associations", Form::Many(&ASSOCIATION)),
        field("properties", Form::Named(&PROPERTY)),
        field("objects", Form::Many(&OBJECT)),
        field("tags", Form::Many(&TAG)),
        field("self", Form::Text),
        field("schema", Form::Text),
    ],
};

pub(crate) static OBJECT: Model = Model {
    fields: &[
        needed("name", Form::Text),
        field("required", Form::Texts),
        field("description", Form::Text),
        field("properties", Form::Named(&PROPERTY)),
        field("created_at", Form::Text),
        field("updated_at", Form::Text),
        field("self", Form::Text),
        field("schema", Form::Text),
    ],
};

pub(crate) static PROPERTY: Model = Model {
    fields: &[
        field("name", Form::Text),
        needed("type", Form::Text),
        needed("title", Form::Text),
        field("description", Form::Text),
        field("operators", Form::Texts),
        field("default", Form::Bytes),
        field("readonly", Form::Flag),
        field("minimum", Form::Integer),
        field("maximum", Form::Integer),
        field("enum", Form::Texts),
        field("pattern", Form::Text),
        field("minLength", Form::Integer),
        field("maxLength", Form::Integer),
        field("confidential", Form::Flag),
        field("items", Form::One(&ITEM)),
        field("uniqueItems", Form::Flag),
        field("minItems", Form::Integer),
        field("maxItems", Form::Integer),
        field("additionalItems", Form::Flag),
    ],
};

static ITEM: Model = Model { fields: &[needed("type", Form::Text), field("enum", Form::Texts)] };

pub(crate) static ASSOCIATION: Model = Model {
    fields: &[
        needed("name", Form::Text),
        field("prefix", Form::Text),
        field("properties_target", Form::Text),
        field("created_at", Form::Text),
        field("updated_at", Form::Text),
    ],
};

pub(crate) static TAG: Model =
    Model { fields: &[needed("name", Form::Text), field("created_at", Form::Text), field("updated_at", Form::Text)] };

pub(crate) static TAGS: Model = Model { fields: &[needed("tags", Form::Many(&TAG))] };
