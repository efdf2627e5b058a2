//! Removing the copy of an image's data that one store holds (upstream: `glance/api/v2/images.py`, `delete_from_store`).

use super::Error;
use super::edit::Edit;
use super::status::Status;
use crate::db::model::LocationRecord;

impl Edit {
    /// Takes the location in `store` from the image; when the edit is saved, the data there is removed.
    ///
    /// # Errors
    /// [`Error::Conflict`] for an image that is not active, [`Error::LocationsFixed`] if it has one location, in whatever store,
    /// [`Error::NotInStore`].
    pub fn remove_copy(&mut self, store: &str) -> Result<(), Error> {
        let image = &mut self.after;
        let place = find_copy(&image.id, image.status, &image.locations, store)?;
        image.locations.remove(place);
        Ok(())
    }
}

/// The index of the location to go.
fn find_copy(id: &str, status: Status, locations: &[LocationRecord], store: &str) -> Result<usize, Error> {
    if status != Status::Active {
        let text = "It's not allowed to remove image data from store if image status is not 'active'";
        return Err(Error::Conflict(text.to_owned()));
    }
    if locations.len() == 1 {
        let text = "Cannot delete image data from the only store containing it. Consider deleting the image instead.";
        return Err(Error::LocationsFixed(text.to_owned()));
    }
    let place = locations.iter().position(|location| location.store() == Some(store));
    place.ok_or_else(|| Error::NotInStore { image: id.to_owned(), store: store.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(status: Status, stores: &[&str], store: &str) -> Result<usize, String> {
        let location = |store: &&str| {
            let metadata = json!({"store": store}).as_object().unwrap().clone();
            LocationRecord::active(format!("file:///{store}"), metadata)
        };
        let locations: Vec<LocationRecord> = stores.iter().map(location).collect();
        find_copy("i", status, &locations, store).map_err(|error| error.to_string())
    }

    /// Texts of `delete_from_store`.
    #[test]
    fn status_comes_before_the_number_of_copies_and_that_before_the_store() {
        let status = "It's not allowed to remove image data from store if image status is not 'active'".to_owned();
        for other in [Status::Queued, Status::Importing, Status::Deactivated, Status::Unknown("odd")] {
            assert_eq!(found(other, &["fast"], "slow"), Err(status.clone()));
        }
        let last = "Cannot delete image data from the only store containing it. Consider deleting the image instead.";
        for store in ["fast", "slow"] {
            assert_eq!(found(Status::Active, &["fast"], store), Err(last.to_owned()));
        }
        let missing = "Image i is not stored in store web.";
        assert_eq!(found(Status::Active, &["fast", "slow"], "web"), Err(missing.to_owned()));
        assert_eq!(found(Status::Active, &[], "web"), Err(missing.to_owned()));
        assert_eq!(found(Status::Active, &["fast", "slow", "slow"], "slow"), Ok(1));
    }
}
