//! What a project may have by limits that Keystone keeps (upstream: `glance/quota/keystone.py`).
//!
//! An upload announces its size in the database before it is judged, and what is announced counts for everybody else, whichever
//! worker asks. So of uploads that run at the same time each sees the others, unlike upstream's. One whose size nobody knows
//! beforehand announces it when all of its data is there, and is judged once more then.

use std::sync::Arc;

use super::Error;
use super::images::Images;
use super::import::Plan;
use super::model::Image;
use crate::db::images::{self as rows, Measure, Owner};
use crate::keystone::ProjectLimits;
use crate::schema::python::or_none;

const MEBIBYTE: i64 = 1 << 20;

/// Something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// MiB in stores.
    ImageSizeTotal,
    /// MiB in staging.
    ImageStageTotal,
    /// Images.
    ImageCountTotal,
    /// Images whose data is being written or copied.
    ImageCountUploading,
}

/// A limit, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitUsage {
    /// A negative one is none.
    pub limit: i64,
    pub usage: i64,
}

impl Resource {
    /// In upstream's order.
    pub const ALL: [Self; 4] =
        [Self::ImageSizeTotal, Self::ImageStageTotal, Self::ImageCountTotal, Self::ImageCountUploading];

    /// As Keystone knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageSizeTotal => "image_size_total",
            Self::ImageStageTotal => "image_stage_total",
            Self::ImageCountTotal => "image_count_total",
            Self::ImageCountUploading => "image_count_uploading",
        }
    }
}

/// Bytes in the unit of limits on sizes; fractions are cut off, as upstream does.
pub fn mebibytes(bytes: i128) -> i64 {
    let whole = bytes.div_euclid(i128::from(MEBIBYTE));
    i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
}

impl Images {
    /// Whether a project may have so much more of something, in the resource's unit; 0 asks whether it has too much already. Without
    /// limits kept by Keystone, it may.
    ///
    /// # Errors
    /// [`Error::OverLimit`]; [`Error::Limits`] when Keystone does not tell.
    pub async fn enforce_limit(&self, project: Option<&str>, resource: Resource, delta: i64) -> Result<(), Error> {
        let Some(limits) = self.limits_of(project).await? else { return Ok(()) };
        self.enforce(&limits, project, resource, delta, None).await
    }

    /// Judges an upload whose image has just become `saving`: `size` is what its client announces.
    ///
    /// # Errors
    /// As [`Images::enforce_limit`].
    pub(super) async fn enforce_upload(
        &self,
        image: &Image,
        project: Option<&str>,
        size: Option<i128>,
    ) -> Result<(), Error> {
        let Some(limits) = self.limits_of(project).await? else { return Ok(()) };
        self.enforce(&limits, project, Resource::ImageCountUploading, 0, None).await?;
        match size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0) {
            Some(size) => self.enforce_size(&limits, image, project, size, mebibytes(size.into())).await,
            None => Ok(()),
        }
    }

    /// Judges an upload that did not announce its size, when all of its data is there. As at its beginning, it may go over the
    /// limit, but not when others have done so meanwhile.
    ///
    /// # Errors
    /// As [`Images::enforce_limit`].
    pub(super) async fn enforce_uploaded(&self, image: &Image, project: Option<&str>, size: u64) -> Result<(), Error> {
        let Some(limits) = self.limits_of(project).await? else { return Ok(()) };
        self.enforce_size(&limits, image, project, size, 0).await
    }

    /// Judges an import that has just begun (upstream: `get_flow` in `glance/async_/flows/api_image_import.py`). Staged data has a size, and
    /// goes into stores; all else counts as staged by the caller's project, as it passes through the staging area at upstream's.
    ///
    /// # Errors
    /// As [`Images::enforce_limit`].
    pub(crate) async fn enforce_import(&self, plan: &Plan, is_staged: bool) -> Result<(), Error> {
        let project = plan.project.as_deref();
        let Some(limits) = self.limits_of(project).await? else { return Ok(()) };
        let size = plan.image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let delta = mebibytes(size.into());
        if is_staged {
            rows::announce_size(&self.db, &plan.image.id, in_all_stores(plan, size)).await?;
            return self.enforce(&limits, project, Resource::ImageSizeTotal, delta, Some(&plan.image.id)).await;
        }
        self.enforce(&limits, project, Resource::ImageStageTotal, delta, None).await?;
        self.enforce(&limits, project, Resource::ImageCountUploading, 0, None).await
    }

    /// Notes what an import is about to store, so that uploads and other imports see it. `size`: bytes, where they are known beforehand.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn announce_import(&self, plan: &Plan, size: Option<u64>) -> Result<(), Error> {
        match size.filter(|_| self.unified_limits.is_some()) {
            Some(size) => Ok(rows::announce_size(&self.db, &plan.image.id, in_all_stores(plan, size)).await?),
            None => Ok(()),
        }
    }

    /// The limits of a project and what it uses of them; nothing without limits kept by Keystone.
    ///
    /// # Errors
    /// [`Error::Limits`]
    pub async fn limit_usage(&self, project: Option<&str>) -> Result<Vec<(Resource, LimitUsage)>, Error> {
        let Some(limits) = self.limits_of(project).await? else { return Ok(Vec::new()) };
        let owner = [project.map(str::to_owned)];
        let mut all = Vec::new();
        for resource in Resource::ALL {
            let usage = match resource {
                // What is in flight is not there yet.
                Resource::ImageSizeTotal => self.stored(&owner, true).await?.div_euclid(MEBIBYTE),
                _ => self.used(&owner, resource, None).await?,
            };
            all.push((resource, LimitUsage { limit: limits.of(resource.name()), usage }));
        }
        Ok(all)
    }

    /// The announcement goes first: of two uploads at least the later one sees the other.
    async fn enforce_size(
        &self,
        limits: &ProjectLimits,
        image: &Image,
        project: Option<&str>,
        size: u64,
        delta: i64,
    ) -> Result<(), Error> {
        rows::announce_size(&self.db, &image.id, size).await?;
        self.enforce(limits, project, Resource::ImageSizeTotal, delta, Some(&image.id)).await
    }

    /// `but`: an image whose data in flight does not count.
    async fn enforce(
        &self,
        limits: &ProjectLimits,
        project: Option<&str>,
        resource: Resource,
        delta: i64,
        but: Option<&str>,
    ) -> Result<(), Error> {
        let own = [project.map(str::to_owned)];
        self.compare(&own, project, limits.of(resource.name()), resource, delta, but).await?;
        let Some(tree) = &limits.tree else { return Ok(()) };
        let all: Vec<Owner> = tree.projects.iter().cloned().map(Some).collect();
        self.compare(&all, Some(&tree.domain), tree.of(resource.name()), resource, delta, but).await
    }

    async fn compare(
        &self,
        owners: &[Owner],
        named: Option<&str>,
        limit: i64,
        resource: Resource,
        delta: i64,
        but: Option<&str>,
    ) -> Result<(), Error> {
        if limit < 0 {
            return Ok(());
        }
        let usage = self.used(owners, resource, but).await?;
        if usage.saturating_add(delta) > limit {
            let project = or_none(named).to_owned();
            return Err(Error::OverLimit { project, resource: resource.name(), limit, usage, delta });
        }
        Ok(())
    }

    async fn used(&self, owners: &[Owner], resource: Resource, but: Option<&str>) -> Result<i64, Error> {
        let used = async |measure| Ok::<i64, Error>(rows::used(&self.db, owners, measure).await?);
        match resource {
            Resource::ImageSizeTotal => {
                let in_flight = used(Measure::InFlight { but: but.map(str::to_owned) }).await?;
                // What placeholders of ours stand for has been announced; those of upstream's server count as such.
                Ok(self.stored(owners, false).await?.saturating_add(in_flight).div_euclid(MEBIBYTE))
            }
            Resource::ImageStageTotal => Ok(used(Measure::Staged).await?.div_euclid(MEBIBYTE)),
            Resource::ImageCountTotal => used(Measure::Images).await,
            Resource::ImageCountUploading => used(Measure::Uploading).await,
        }
    }

    async fn stored(&self, owners: &[Owner], placeholders: bool) -> Result<i64, Error> {
        Ok(rows::used(&self.db, owners, Measure::Stored { but: None, placeholders }).await?)
    }

    async fn limits_of(&self, project: Option<&str>) -> Result<Option<Arc<ProjectLimits>>, Error> {
        match &self.unified_limits {
            None => Ok(None),
            Some(limits) => limits.of_project(project).await.map(Some).map_err(Error::Limits),
        }
    }
}

/// Bytes that an import of data of this size stores.
fn in_all_stores(plan: &Plan, size: u64) -> u64 {
    size.saturating_mul(u64::try_from(plan.stores.len().max(1)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_cut_off_as_python_does() {
        for (bytes, expected) in
            [(0, 0), (1, 0), ((1 << 20) - 1, 0), (1 << 20, 1), (-1, -1), (i128::MAX, i64::MAX), (i128::MIN, i64::MIN)]
        {
            assert_eq!(mebibytes(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn the_message_is_upstreams() {
        let project = "p".to_owned();
        let error = Error::OverLimit { project, resource: "image_size_total", limit: 5, usage: 6, delta: 1 };
        assert_eq!(
            error.to_string(),
            "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota \
             threshold was breached.\n\nThe response body:\nProject p is over a limit for [Resource image_size_total is \
             over limit of 5 due to current usage 6 and delta 1]"
        );
    }
}
