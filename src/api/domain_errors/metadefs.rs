//! Errors of metadata definitions (upstream: `glance/api/v2/metadef_*.py`).

use http::StatusCode;

use crate::api::Error;
use crate::metadef::{self, BadDocument};
use crate::schema::python::Excerpt;

impl From<metadef::Error> for Error {
    fn from(error: metadef::Error) -> Self {
        use metadef::Error as Domain;
        let text = error.to_string();
        match &error {
            Domain::NamespaceMissing(_)
            | Domain::NamespaceGone(_)
            | Domain::Missing { .. }
            | Domain::ResourceTypeMissing(_)
            | Domain::AssociationMissing { .. } => Self::explanation(StatusCode::NOT_FOUND, text),
            Domain::NamespaceHidden(_) | Domain::Protected { .. } => Self::explanation(StatusCode::FORBIDDEN, text),
            Domain::Duplicate { .. } | Domain::DuplicateRename { .. } => Self::explanation(StatusCode::CONFLICT, text),
            Domain::Invalid(_) | Domain::NotAscii => Self::bad_request(text),
            Domain::Db(database) if database.is_of_text() => Self::bad_request(text),
            Domain::Db(database) if database.is_unavailable() => {
                Self::stock(StatusCode::SERVICE_UNAVAILABLE).because(error)
            }
            Domain::Db(_) => Self::internal(error),
        }
    }
}

impl From<BadDocument> for Error {
    fn from(error: BadDocument) -> Self {
        let text = error.to_string();
        match error {
            BadDocument::ReadOnly(_) => Self::explanation(StatusCode::FORBIDDEN, text),
            BadDocument::NoObject | BadDocument::Mismatch(_) | BadDocument::Malformed(_) => Self::bad_request(text),
        }
    }
}

/// For most routes, a namespace that the caller cannot see is as if it were not there.
pub(in crate::api) fn of_namespace(error: metadef::Error) -> Error {
    match error {
        metadef::Error::NamespaceMissing(name) | metadef::Error::NamespaceHidden(name) => namespace_missing(&name),
        other => other.into(),
    }
}

/// As [`of_namespace`], in the words of the routes of objects.
pub(in crate::api) fn of_visible_namespace(error: metadef::Error) -> Error {
    match error {
        metadef::Error::NamespaceHidden(name) => namespace_missing(&name),
        other => other.into(),
    }
}

/// As [`of_namespace`], in the words of the route that shows a namespace.
pub(in crate::api) fn of_shown_namespace(error: metadef::Error) -> Error {
    match error {
        metadef::Error::NamespaceHidden(_) => Error::stock(StatusCode::NOT_FOUND),
        other => other.into(),
    }
}

pub(in crate::api) fn of_dissociation(error: metadef::Error, resource_type: &str) -> Error {
    match error {
        metadef::Error::AssociationMissing { .. } => {
            let text = format!("Failed to find resource type {} to delete", Excerpt(resource_type));
            Error::explanation(StatusCode::NOT_FOUND, text)
        }
        other => other.into(),
    }
}

fn namespace_missing(name: &str) -> Error {
    Error::explanation(StatusCode::NOT_FOUND, format!("Namespace {} not found", Excerpt(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Text;

    #[test]
    fn a_hidden_namespace_is_told_as_the_route_tells_it() {
        let hidden = || metadef::Error::NamespaceHidden("n".to_owned());
        let missing = || metadef::Error::NamespaceMissing("n".to_owned());
        let (plain, short) = ("Metadata definition namespace=n was not found.", "Namespace n not found");
        for (error, status, text) in [
            (hidden().into(), 403, "Forbidding request, metadata definition namespace=n is not visible."),
            (missing().into(), 404, plain),
            (of_namespace(hidden()), 404, short),
            (of_namespace(missing()), 404, short),
            (of_visible_namespace(hidden()), 404, short),
            (of_visible_namespace(missing()), 404, plain),
            (of_shown_namespace(hidden()), 404, ""),
            (of_shown_namespace(missing()), 404, plain),
        ] {
            let shown = match &error.text {
                Text::Explanation(text) | Text::Detail(text) | Text::Whole(text) => text,
                Text::Stock => "",
            };
            assert_eq!((error.status.as_u16(), shown), (status, text));
        }
    }
}
