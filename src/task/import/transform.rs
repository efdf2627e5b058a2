//! The plugins' part of an import: what they make of the data and of the image.

use std::error::Error as StdError;
use std::fs::File;
use std::mem;
use std::path::Path;

use tokio::task::spawn_blocking;
use tracing::warn;

use super::plugins::{Findings, PluginError, Staged};
use super::progress::Progress;
use super::request::Method;
use super::source::Source;
use crate::db::DbError;
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
    /// What is injected does not fit.
    #[error("{0}")]
    Limit(#[source] image::Error),
    #[error("The database refused the properties that are injected: {0}")]
    Inject(#[source] DbError),
}

impl TransformError {
    /// Whether it may be the data that is wrong: helper programs fail for that, too.
    pub(super) fn is_about_data(&self) -> bool {
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
            self.run_plugins(plan, hold, &mut staged, progress).await?;
            return Ok(source);
        }
        if *method != Method::GlanceDirect {
            plan.transformed.is_changed = true;
            self.images.stage_for_import(plan, hold, source.size, progress.count(source.data)).await?;
            crash_point("import.staged");
        }
        let outcome = self.run_plugins(plan, hold, &mut staged, progress).await;
        let made = &mut plan.transformed;
        made.path = (staged.path != path).then(|| staged.path.clone());
        let found = outcome?;
        crash_point("import.converted");
        made.disk_format = found.disk_format;
        made.container_format = found.container_format;
        made.virtual_size = found.virtual_size;
        // What is stored is judged as what it is by now.
        plan.image.disk_format = staged.disk_format;
        plan.image.container_format = staged.container_format;
        open(&staged.path).await.map_err(TransformError::Read)
    }

    /// Runs the plugins in their order. `staged` is where the data is then, also when one fails; the plan says whether it was changed.
    ///
    /// Custom properties are written down before the next one runs, and stay whatever comes of it, as upstream saves them at once. What
    /// is said of the data waits until the data is there: a queued image with the format of data that was lost could not be
    /// imported again.
    async fn run_plugins(
        &self,
        plan: &mut Plan,
        hold: &Hold,
        staged: &mut Staged,
        progress: &Progress,
    ) -> Result<Findings, TransformError> {
        let mut all = Findings::default();
        for plugin in self.plugins.iter() {
            let mut found = plugin.run(staged, &plan.caller.roles, progress).await?;
            plan.transformed.is_changed |= found.size.is_some();
            let properties = mem::take(&mut found.properties);
            if !properties.is_empty() {
                self.inject(plan, hold, properties).await?;
            }
            all.add(found);
        }
        Ok(all)
    }

    /// Gives the image custom properties now, or with the end of its import where the database does not answer.
    async fn inject(
        &self,
        plan: &mut Plan,
        hold: &Hold,
        properties: Vec<(String, String)>,
    ) -> Result<(), TransformError> {
        // Of what comes with the data, too, the plugin has the last word.
        plan.transformed.copied.retain(|(name, _)| properties.iter().all(|(injected, _)| injected != name));
        // Clients may have given it more meanwhile.
        let known = self.images.look_at_held(&plan.image.id, hold).await.ok().flatten();
        let image = known.as_ref().unwrap_or(&plan.image);
        let added = [&plan.transformed.copied[..], &properties].concat();
        self.images.check_added(image, &added).map_err(TransformError::Limit)?;
        // Whoever pours the data looks for a signature there.
        for (name, value) in &properties {
            plan.image.properties.set(name, Some(value.clone()));
        }
        let step = self.images.step_of_injection(plan, hold, &properties);
        match self.go_on(&plan.task_id, step).await {
            Ok(()) => crash_point("import.injected"),
            // Whose image it is by now, the end tells.
            Err(DbError::NotFound { .. } | DbError::StateConflict { .. }) => {}
            Err(error) if error.is_unavailable() => {
                let error: &dyn StdError = &error;
                warn!(task_id = plan.task_id, error, "an import cannot inject properties yet");
                plan.transformed.properties.extend(properties);
            }
            Err(error) => return Err(TransformError::Inject(error)),
        }
        Ok(())
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
