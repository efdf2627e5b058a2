//! What can go wrong with metadata definitions, in upstream's words (`glance/common/exception.py`).

use std::fmt;

use crate::db::DbError;
use crate::schema::python::Excerpt;

/// What is in a namespace under a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Namespace,
    Object,
    Property,
    Tag,
    Association,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Object => "object",
            Self::Property => "property",
            Self::Tag => "tag",
            Self::Association => "resource-type-association",
        })
    }
}

/// An operation on metadata definitions failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Metadata definition namespace={} was not found.", Excerpt(.0))]
    NamespaceMissing(String),
    /// It is there, but not for this viewer.
    #[error("Forbidding request, metadata definition namespace={} is not visible.", Excerpt(.0))]
    NamespaceHidden(String),
    /// It was there a moment ago.
    #[error("The specified namespace {} could not be found", Excerpt(.0))]
    NamespaceGone(String),
    /// No object, property or tag has the name.
    #[error("{}", missing(*kind, name))]
    Missing { kind: Kind, name: String },
    #[error("The metadata definition resource-type with name={}, was not found.", Excerpt(.0))]
    ResourceTypeMissing(String),
    #[error(
        "The metadata definition resource-type association of resource-type={} to namespace={}, was not found.",
        Excerpt(name),
        Excerpt(namespace)
    )]
    AssociationMissing { name: String, namespace: String },
    /// The name is taken.
    #[error("{}", duplicate(*kind, name, namespace))]
    Duplicate { kind: Kind, name: String, namespace: String },
    /// What shall be renamed would get a name that is taken.
    #[error(
        "Invalid update. It would result in a duplicate metadata definition {kind} with the same name{}",
        renamed(*kind, name, namespace)
    )]
    DuplicateRename { kind: Kind, name: String, namespace: String },
    /// The namespace is protected, and so is what is in it.
    #[error("Metadata definition {kind} {} is protected and cannot be deleted.", Excerpt(name))]
    Protected { kind: Kind, name: String },
    /// A value does not do.
    #[error("{0}")]
    Invalid(String),
    /// A default value that upstream cannot decode.
    #[error(
        "Error decoding your request. Either the URL or the request body contained characters that could not be decoded by \
         Glance"
    )]
    NotAscii,
    #[error(transparent)]
    Db(#[from] DbError),
}

fn missing(kind: Kind, name: &str) -> String {
    let name = Excerpt(name);
    match kind {
        Kind::Object => format!("Could not find metadata object {name}"),
        Kind::Tag => format!("Could not find metadata tag {name}"),
        _ => format!("Could not find {kind} {name}"),
    }
}

fn duplicate(kind: Kind, name: &str, namespace: &str) -> String {
    let (name, namespace) = (Excerpt(name), Excerpt(namespace));
    match kind {
        Kind::Namespace => format!("The metadata definition namespace={name} already exists."),
        Kind::Tag => format!(
            "A metadata tag with name={name} already exists in namespace={namespace}. (Please note that metadata tag names are \
             case insensitive)."
        ),
        Kind::Association => format!(
            "The metadata definition resource-type association of resource-type={name} to namespace={namespace} already exists."
        ),
        Kind::Object | Kind::Property => {
            format!("A metadata definition {kind} with name={name} already exists in namespace={namespace}.")
        }
    }
}

fn renamed(kind: Kind, name: &str, namespace: &str) -> String {
    match kind {
        Kind::Namespace => format!(" of {}", Excerpt(name)),
        _ => format!("={} in namespace={}.", Excerpt(name), Excerpt(namespace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of a running upstream; that of a renamed object is what its code means to say.
    #[test]
    fn words_are_upstreams() {
        let of =
            |kind, text: fn(Kind, String, String) -> Error| text(kind, "n".to_owned(), "ns".to_owned()).to_string();
        let taken = |kind, name, namespace| Error::Duplicate { kind, name, namespace };
        let renamed = |kind, name, namespace| Error::DuplicateRename { kind, name, namespace };
        let kept = |kind, name, _| Error::Protected { kind, name };
        let missing = |kind, name, _| Error::Missing { kind, name };
        for (text, expected) in [
            (of(Kind::Namespace, taken), "The metadata definition namespace=n already exists."),
            (of(Kind::Object, taken), "A metadata definition object with name=n already exists in namespace=ns."),
            (of(Kind::Property, taken), "A metadata definition property with name=n already exists in namespace=ns."),
            (
                of(Kind::Tag, taken),
                "A metadata tag with name=n already exists in namespace=ns. (Please note that metadata tag names are case \
                 insensitive).",
            ),
            (
                of(Kind::Association, taken),
                "The metadata definition resource-type association of resource-type=n to namespace=ns already exists.",
            ),
            (
                of(Kind::Namespace, renamed),
                "Invalid update. It would result in a duplicate metadata definition namespace with the same name of n",
            ),
            (
                of(Kind::Object, renamed),
                "Invalid update. It would result in a duplicate metadata definition object with the same name=n in \
                 namespace=ns.",
            ),
            (of(Kind::Namespace, kept), "Metadata definition namespace n is protected and cannot be deleted."),
            (
                of(Kind::Association, kept),
                "Metadata definition resource-type-association n is protected and cannot be deleted.",
            ),
            (of(Kind::Object, missing), "Could not find metadata object n"),
            (of(Kind::Property, missing), "Could not find property n"),
            (of(Kind::Tag, missing), "Could not find metadata tag n"),
        ] {
            assert_eq!(text, expected);
        }
    }
}
