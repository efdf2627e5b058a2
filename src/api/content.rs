//! What bodies there are: the media types that a route takes, and how much of a body is read.

use crate::image::patch::MediaType;

/// Bytes of a document that says little: an id of 255 characters, a status, a URL or the names of stores, with all of their characters
/// escaped and room to spare.
const FEW: u64 = 64 << 10;

/// What a route does with the body of its request. The table of routes names one for each, so that route and media type together
/// decide how much is read: a route takes one kind of body, and reads nothing of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestContent {
    /// A JSON document, whatever its type: upstream does not look at it here.
    Document,
    /// One that says little.
    FewWords,
    /// Changes of an image.
    Patch,
    /// An image's data.
    Data,
    /// Nobody looks at it.
    Ignored,
    /// A request with one is answered 400 before anything else is looked at.
    Refused,
}

impl RequestContent {
    /// The media types of which the body must have one, else the answer is 415 and nothing is read of it; none: any will do.
    pub(super) fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Patch => &MediaType::NAMES,
            Self::Data => &["application/octet-stream"],
            Self::Document | Self::FewWords | Self::Ignored | Self::Refused => &[],
        }
    }

    /// Bytes that are read at most before the answer is 413. `largest`: of a document, as the operator has it. How much data an image
    /// may have is the domain's to say (`image_size_cap`, quotas).
    pub(super) fn limit(self, largest: u64) -> u64 {
        match self {
            Self::Document | Self::Patch => largest,
            Self::FewWords => largest.min(FEW),
            Self::Data => u64::MAX,
            Self::Ignored | Self::Refused => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RequestContent::{Data, Document, FewWords, Ignored, Patch, Refused};
    use super::*;

    #[test]
    fn kind_and_type_of_a_body_decide_how_much_is_read() {
        const LARGEST: u64 = 2 << 20;
        let patches = ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"];
        for (content, types, limit) in [
            (Document, &[][..], LARGEST),
            (FewWords, &[], FEW),
            (Patch, &patches, LARGEST),
            (Data, &["application/octet-stream"], u64::MAX),
            (Ignored, &[], 0),
            (Refused, &[], 0),
        ] {
            assert_eq!((content.media_types(), content.limit(LARGEST)), (types, limit), "{content:?}");
        }
        assert_eq!(FewWords.limit(1024), 1024, "an operator may allow less");
    }
}
