//! Who can see an image, before any policy is asked.

use std::fmt;

use super::word::keep;

/// How far an image is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// To all, and in everybody's list.
    Public,
    /// To all who know its id or ask for community images.
    Community,
    /// To the owner and the members.
    Shared,
    /// To the owner.
    Private,
    /// To the owner: in the database stands another word.
    Unknown(&'static str),
}

/// A visibility that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown image visibility {0:?}")]
pub struct UnknownVisibility(pub String);

impl Visibility {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Unknown(word) => word,
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Visibility {
    type Err = UnknownVisibility;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Public, Self::Community, Self::Shared, Self::Private]
            .into_iter()
            .find(|visibility| visibility.as_str() == word)
            .ok_or_else(|| UnknownVisibility(word.to_owned()))
    }
}

/// Of a word in the database.
impl From<String> for Visibility {
    fn from(word: String) -> Self {
        word.parse().unwrap_or_else(|_| Self::Unknown(keep(&word)))
    }
}

/// As a word in the database.
impl From<Visibility> for String {
    fn from(visibility: Visibility) -> Self {
        visibility.as_str().to_owned()
    }
}

/// In whose eyes images are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    /// The project of the caller; its images are the caller's own.
    pub project: Option<String>,
    /// Administrators see and may change all images.
    pub is_admin: bool,
}

/// What an image's own fields say about a viewer's sight of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Visible,
    Hidden,
    /// Visible if the viewer's project is a member, in whatever status.
    IfMember,
}

impl Viewer {
    /// Whether an image can be seen by its id (upstream: `glance/db/utils.py`, `is_image_visible`).
    pub fn sight(&self, owner: Option<&str>, visibility: Visibility) -> Sight {
        if self.is_admin || owner.is_none() || matches!(visibility, Visibility::Public | Visibility::Community) {
            return Sight::Visible;
        }
        match (self.project.as_deref(), visibility) {
            (None, _) => Sight::Hidden,
            (project, _) if project == owner => Sight::Visible,
            (_, Visibility::Shared) => Sight::IfMember,
            _ => Sight::Hidden,
        }
    }

    /// Whether the viewer may change the image as far as the database layer cares (upstream: `is_image_mutable`).
    pub fn may_change(&self, owner: Option<&str>) -> bool {
        self.is_admin || (owner.is_some() && self.project.as_deref() == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(project: Option<&str>, is_admin: bool) -> Viewer {
        Viewer { project: project.map(str::to_owned), is_admin }
    }

    #[test]
    fn sight_follows_owner_and_visibility() {
        use Sight::{Hidden, IfMember, Visible};
        use Visibility::{Community, Private, Public, Shared};
        let odd = Visibility::from("odd".to_owned());
        let table = [
            (viewer(Some("a"), true), Some("b"), Private, Visible),
            (viewer(Some("a"), false), None, Private, Visible),
            (viewer(Some("a"), false), Some("b"), Public, Visible),
            (viewer(None, false), Some("b"), Community, Visible),
            (viewer(Some("a"), false), Some("a"), Private, Visible),
            (viewer(Some("a"), false), Some("b"), Private, Hidden),
            (viewer(Some("a"), false), Some("b"), Shared, IfMember),
            (viewer(None, false), Some("b"), Shared, Hidden),
            (viewer(Some("a"), false), Some("a"), odd, Visible),
            (viewer(Some("a"), false), Some("b"), odd, Hidden),
            (viewer(Some("a"), false), Some("b"), Visibility::from("public".to_owned()), Visible),
        ];
        for (viewer, owner, visibility, wanted) in table {
            assert_eq!(viewer.sight(owner, visibility), wanted, "{viewer:?} {owner:?} {visibility}");
        }
    }

    #[test]
    fn an_image_without_owner_belongs_to_administrators() {
        assert!(!viewer(None, false).may_change(None));
        assert!(!viewer(Some("a"), false).may_change(None));
        assert!(viewer(None, true).may_change(None));
        assert!(viewer(Some("a"), false).may_change(Some("a")));
        assert!(!viewer(Some("a"), false).may_change(Some("b")));
    }
}
