//! Rows that stand for the locations of an import while its data is on its way (upstream:
//! `glance/async_/flows/parallel_api_image_import.py`).
//!
//! Upstream writes them where `max_parallel_stores` allows several stores. No request shows them, as they are not active; but they count
//! in what a project stores, and tell operators where an import writes. They go with the end of their task.

use serde_json::{Map, Value};

use super::hold::Plan;
use crate::db::model::{ImageUpdate, LocationRecord};
use crate::db::tasks::ImageStep;
use crate::image::intent_log::Token;
use crate::image::{Images, Status};

impl Images {
    /// The step that writes down where data is about to go. `None` where upstream writes nothing: of a copy, with one store, or while
    /// stores are written one after the other.
    pub(crate) fn step_of_placeholders(&self, plan: &Plan) -> Option<ImageStep> {
        if plan.is_copy || plan.stores.len() < 2 || self.options.parallel_stores < 2 {
            return None;
        }
        let image = &plan.image;
        let mut locations = image.locations.clone();
        locations.extend(plan.stores.iter().map(|store| placeholder(&image.id, store)));
        let change = ImageUpdate {
            locations: Some(locations),
            read_locations: Some(image.locations.clone()),
            ..ImageUpdate::default()
        };
        Some(ImageStep {
            id: image.id.clone(),
            change,
            from: vec![Status::Importing.as_str().to_owned()],
            token: Token::of_task(&plan.task_id).as_str().to_owned(),
            unlocks: None,
        })
    }
}

fn placeholder(image: &str, store: &str) -> LocationRecord {
    let metadata: Map<String, Value> = [("store", store), ("os_glance_parallel_import", "pending")]
        .map(|(key, value)| (key.to_owned(), value.into()))
        .into_iter()
        .collect();
    let url = format!("pending://parallel-import/{image}/{store}");
    LocationRecord::placeholder(url, metadata)
}
