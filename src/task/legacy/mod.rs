//! Tasks of the type `import`: an image is made of data in the web, at an administrator's request to the tasks API (upstream:
//! `glance/async_/flows/base_import.py` with `ovf_process.py`, `convert.py` and `introspect.py`).
//!
//! [`input`] reads the request, [`flow`] makes the image. Where there is a folder for it, the data is put there first: a disk is taken
//! out of its [`ova`] archive, converted and looked at; else the data goes into the store as it comes.

mod flow;
mod input;
mod ova;
mod rework;

use std::path::PathBuf;
use std::sync::Arc;

use super::import::{Conversion, Decompression};
use crate::config::Config;
use crate::image::schema::ImageSchema;
use crate::store::tasks_folder;
use rework::Rework;

/// What such tasks need of a configuration.
#[derive(Debug)]
pub(super) struct Legacy {
    schema: ImageSchema,
    /// `None`: there is no folder to work in.
    rework: Option<Arc<Rework>>,
}

impl Legacy {
    pub(super) fn new(config: &Config) -> Self {
        let folder = tasks_folder(config).or_else(|| config.task.work_dir.clone());
        let rework = folder.filter(|folder| !folder.is_empty()).map(|folder| {
            Arc::new(Rework {
                folder: PathBuf::from(folder),
                most: u64::try_from(config.default.image_size_cap).unwrap_or(0),
                target: config.taskflow_executor.conversion_format.clone(),
                disks: Conversion::new(config),
                unpacking: Decompression::new(config),
                metadata: config.find_file(ova::METADATA),
            })
        });
        Self { schema: ImageSchema::new(config), rework }
    }

    /// Where an image's data may lie before it is in a store.
    pub(super) fn files(&self, image_id: &str) -> Vec<PathBuf> {
        self.rework.iter().flat_map(|rework| rework.files(image_id)).collect()
    }
}
