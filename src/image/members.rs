//! The projects with which an image is shared.

use time::PrimitiveDateTime;

use super::Error;
use super::images::Images;
use super::model::Image;
use super::text::{check_plane, field_message};
use super::visibility::Viewer;
use super::word::keep;
use crate::db::model::MemberRecord;
use crate::db::{DbError, members};
use crate::notifications::Change;

/// A project with which an image is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub image_id: String,
    /// The project's id.
    pub member: String,
    pub status: MemberStatus,
    pub created_at: PrimitiveDateTime,
    pub updated_at: PrimitiveDateTime,
}

/// What a project thinks of an image that is shared with it. Only accepted ones are in its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStatus {
    Pending,
    Accepted,
    Rejected,
    /// In the database stands another word. The membership is shown with it.
    Unknown(&'static str),
}

/// A word that is no status of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Status must be \"pending\", \"accepted\" or \"rejected\".")]
pub struct UnknownMemberStatus;

/// Characters of a project's id that the column holds.
const MEMBER_LENGTH: usize = 255;

impl MemberStatus {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unknown(word) => word,
        }
    }
}

/// Of a row.
impl From<MemberRecord> for Member {
    fn from(row: MemberRecord) -> Self {
        let MemberRecord { image_id, member, status, created_at, updated_at, can_share: _ } = row;
        let status = status.parse().unwrap_or_else(|UnknownMemberStatus| MemberStatus::Unknown(keep(&status)));
        Self { image_id, member, status, created_at, updated_at }
    }
}

/// Of a word that a client gives.
impl std::str::FromStr for MemberStatus {
    type Err = UnknownMemberStatus;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Self::Pending, Self::Accepted, Self::Rejected];
        all.into_iter().find(|status| status.as_str() == word).ok_or(UnknownMemberStatus)
    }
}

impl Images {
    /// The members of an image as far as the viewer may know them: the owner all, another project itself.
    ///
    /// # Errors
    /// [`Error::Db`]
    pub async fn members(&self, viewer: &Viewer, image: &Image) -> Result<Vec<Member>, Error> {
        let mut found = members::list(&self.db, &image.id).await?;
        found.retain(|member| is_shown(viewer, image, &member.member));
        Ok(found.into_iter().map(Member::from).collect())
    }

    /// One member of an image.
    ///
    /// # Errors
    /// [`Error::MemberMissing`] also for one that the viewer may not know.
    pub async fn member(&self, viewer: &Viewer, image: &Image, member: &str) -> Result<Member, Error> {
        let found = members::find(&self.db, &image.id, member).await?;
        let shown = found.filter(|found| is_shown(viewer, image, &found.member));
        shown.map(Member::from).ok_or_else(|| missing(image, member))
    }

    /// Shares the image with a project, which has to accept.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::MemberPresent`], [`Error::Invalid`] for an id that not every database can hold,
    /// [`Error::NotFound`].
    pub async fn add_member(&self, image: &Image, member: &str) -> Result<Member, Error> {
        let present = members::count(&self.db, &image.id).await?;
        self.options.limits.check_members(usize::try_from(present).unwrap_or(0) + 1)?;
        check_plane(member, || field_message("member"))?;
        if member.chars().count() > MEMBER_LENGTH {
            return Err(Error::Invalid(format!("Member can't be longer than {MEMBER_LENGTH} characters.")));
        }
        let added = members::add(&self.db, &image.id, member, MemberStatus::Pending.as_str()).await;
        let added = added.map_err(|error| match error {
            DbError::Duplicate { .. } => Error::MemberPresent { image: image.id.clone(), member: member.to_owned() },
            DbError::NotFound { .. } => Error::NotFound(image.id.clone()),
            other => other.into(),
        })?;
        self.announce(image, Change::MemberAdded(&added));
        Ok(added.into())
    }

    /// Keeps what a project thinks of the image.
    ///
    /// # Errors
    /// [`Error::MemberMissing`]
    pub async fn set_member_status(&self, image: &Image, member: &str, status: MemberStatus) -> Result<Member, Error> {
        let updated = members::update(&self.db, &image.id, member, status.as_str()).await;
        let updated = updated.map_err(|error| in_words_of_member(error, image, member))?;
        self.announce(image, Change::MemberUpdated(&updated));
        Ok(updated.into())
    }

    /// Shares the image with the project no longer.
    ///
    /// # Errors
    /// [`Error::MemberMissing`]
    pub async fn remove_member(&self, image: &Image, member: &str) -> Result<(), Error> {
        let deleted = members::delete(&self.db, &image.id, member).await;
        deleted.map_err(|error| in_words_of_member(error, image, member))?;
        self.announce(image, Change::MemberRemoved { member });
        Ok(())
    }
}

/// Upstream: `_image_member_find` in `glance/db/sqlalchemy/api.py`.
fn is_shown(viewer: &Viewer, image: &Image, member: &str) -> bool {
    viewer.is_admin || image.owner == viewer.project || viewer.project.as_deref() == Some(member)
}

fn missing(image: &Image, member: &str) -> Error {
    Error::MemberMissing { image: image.id.clone(), member: member.to_owned() }
}

fn in_words_of_member(error: DbError, image: &Image, member: &str) -> Error {
    match error {
        DbError::NotFound { .. } => missing(image, member),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for status in [MemberStatus::Pending, MemberStatus::Accepted, MemberStatus::Rejected] {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("Accepted".parse::<MemberStatus>(), Err(UnknownMemberStatus));
    }

    #[test]
    fn a_row_with_another_word_is_shown_with_it() {
        let now = PrimitiveDateTime::MIN;
        let row = |status: &str| MemberRecord {
            image_id: "i".to_owned(),
            member: "m".to_owned(),
            can_share: false,
            status: status.to_owned(),
            created_at: now,
            updated_at: now,
        };
        assert_eq!(Member::from(row("accepted")).status, MemberStatus::Accepted);
        let odd = Member::from(row("unsure")).status;
        assert_eq!((odd, odd.as_str()), (MemberStatus::Unknown("unsure"), "unsure"));
    }
}
