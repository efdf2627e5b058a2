//! The plugins' part of an import: what they make of the data and of the image.

use std::fs::File;
use std::path::Path;

use tokio::task::spawn_blocking;

use super::plugins::{PluginError, Staged};
use super::progress::Progress;
use super::request::Method;
use super::source::Source;
use crate::image::{self, Hold, Plan};
use crate::store::{FileRegion, OpenFile, Priority, Reader};
use crate::sys::crash_point::crash_point;
use crate::task::tasks::Tasks;

/// The plugins could not do their work.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransformError {
    #[error("{0}")]
    Plugin(#[from] PluginError),
    #[error("The data cannot be staged: {0}")]
    Stage(#[from] image::Error),
    #[error("The staged data cannot be read: {0}")]
    Read(std::io::Error),
}

impl TransformError {
    /// Whether it may be the data that is wrong: helper programs fail for that, too.
    pub(super) fn is_verdict(&self) -> bool {
        matches!(self, Self::Plugin(PluginError::Refused(_) | PluginError::TooLarge { .. } | PluginError::Program(_)))
    }
}

impl Tasks {
    /// Has the plugins do their work, and gives the data that is to be stored. What they found is in the plan then.
    ///
    /// Where none of them works on the data it is handed on as it comes; else all of it goes to the staging area first.
    ///
    /// # Errors
    /// [`TransformError`]; the plan says what is in the staging area.
    pub(super) async fn transform(
        &self,
        plan: &mut Plan,
        hold: &Hold,
        method: &Method,
        source: Source,
        progress: &Progress,
    ) -> Result<Source, TransformError> {
        if plan.is_copy {
            return Ok(source);
        }
        let path = self.images.staged_path(plan).unwrap_or_default();
        let (disk_format, container_format) = (plan.image.disk_format.clone(), plan.image.container_format.clone());
        let mut staged = Staged { path: path.clone(), disk_format, container_format };
        if !self.plugins.need_file() {
            let found = self.plugins.run(&mut staged, &plan.caller.roles, progress).await?;
            plan.transformed.properties = found.properties;
            return Ok(source);
        }
        if *method != Method::GlanceDirect {
            plan.transformed.is_changed = true;
            self.images.stage_for_import(plan, hold, source.size, progress.count(source.data)).await?;
            crash_point("import.staged");
        }
        let outcome = self.plugins.run(&mut staged, &plan.caller.roles, progress).await;
        let made = &mut plan.transformed;
        made.path = (staged.path != path).then(|| staged.path.clone());
        let found = outcome?;
        crash_point("import.converted");
        made.is_changed |= found.size.is_some();
        made.disk_format = found.disk_format;
        made.container_format = found.container_format;
        made.virtual_size = found.virtual_size;
        made.properties = found.properties;
        // What is stored is judged as what it is by now.
        plan.image.disk_format = staged.disk_format;
        plan.image.container_format = staged.container_format;
        open(&staged.path).await.map_err(TransformError::Read)
    }
}

/// The data in a file.
///
/// # Errors
/// It cannot be opened.
pub(in crate::task) async fn open(path: &Path) -> std::io::Result<Source> {
    let path = path.to_owned();
    let opened = spawn_blocking(move || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok::<_, std::io::Error>(FileRegion { file: OpenFile::shared(file), offset: 0, length })
    });
    let region: FileRegion = opened.await.map_err(std::io::Error::other)??;
    Ok(Source { size: Some(region.length), data: Reader::File(region).into_stream(Priority::Background) })
}
