//! `--create-indexes`: further indexes in the database, then the end.

use crate::config::Config;
use crate::db::{Db, DbError};
use crate::sys::causes::ErrorWithCauses;

/// Makes the indexes with which lists stay fast however many images there are. Blocks until they are there.
///
/// # Errors
/// What the database says, in words.
pub fn create_indexes(config: &Config) -> Result<(), String> {
    let runtime = super::runtime(Some(0)).map_err(|error| error.to_string())?;
    let work = async {
        let db = Db::connect(&config.database).await?;
        db.check_schema().await?;
        db.create_indexes().await
    };
    runtime.block_on(work).map_err(|error: DbError| ErrorWithCauses(&error).to_string())
}
