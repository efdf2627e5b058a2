//! Names of properties by which the service remembers something about an image.
//!
//! Clients may not set them, which is checked where requests are read. MySQL and MariaDB take more names for the same: those that
//! differ in case, in an accent, or in blanks at the end, as its collation has it. Such a property would be found in the place of the
//! service's own, so there it is the database that is asked.

use sea_query::{Alias, Expr, ExprTrait, Func, Query};

use super::dialect::Dialect;
use super::error::DbError;
use super::row::Columns;
use super::session::Session;
use super::sql::live;

/// Lists the stores that have failed an import.
pub(crate) const FAILED: &str = "os_glance_failed_import";
/// Lists the stores to which an import is still to write.
pub(crate) const IMPORTING: &str = "os_glance_importing_to_stores";
/// Names the task which has an image for itself.
pub(crate) const LOCK: &str = "os_glance_import_task";
/// Says where others reach the worker that has an image's staged data.
pub(crate) const STAGE_HOST: &str = "os_glance_stage_host";
/// Say where others reach the host that works on an image, or has what it works on; the second is upstream's alone.
pub(crate) const HOSTS: [&str; 2] = [STAGE_HOST, "os_glance_hash_op_host"];
/// Has the token of the owner of an image's data. An image has one of the names: the first, unless that has no place.
pub(super) const DATA_OWNER: [&str; 2] = ["os_glance_data_owner", "os_glance_data_owner_beside"];
/// Has the bytes that the owner of the data is about to write, so that others who ask what a project takes up count them. It goes when
/// the ownership does.
pub(super) const DATA_SIZE: [&str; 2] = ["os_glance_data_size", "os_glance_data_size_beside"];

/// All of them.
pub(crate) const SERVICE_PROPERTIES: [&str; 9] =
    [DATA_OWNER[0], DATA_OWNER[1], DATA_SIZE[0], DATA_SIZE[1], FAILED, HOSTS[1], LOCK, IMPORTING, STAGE_HOST];

/// That a row of `image_properties` has one of these names to the letter, which an index helps to find.
pub(super) fn is_named(dialect: Dialect, names: &[&'static str]) -> Expr {
    let column = || Expr::col(("image_properties", "name"));
    let is_named = column().is_in(names.iter().copied());
    match dialect {
        Dialect::MySql => is_named.and(column().cast_as(Alias::new("BINARY")).is_in(names.iter().copied())),
        Dialect::Sqlite | Dialect::Postgres => is_named,
    }
}

/// To be called when properties of these names have been inserted, revived or changed, in the same transaction. A row that was there
/// already may be one that a user of upstream has set; it may stay or go, but not be written.
///
/// # Errors
/// [`DbError::Reserved`] if the database takes one of them for one of the service's.
pub(super) async fn check<'a>(
    session: &mut Session,
    image: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), DbError> {
    if session.dialect() != Dialect::MySql || names.clone().all(is_plain) {
        return Ok(());
    }
    let query = Query::select()
        .column("name")
        .from("image_properties")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("name").is_in(SERVICE_PROPERTIES))
        .take();
    let found = session.rows(&query, |row| Columns::of(row).text()).await?;
    let is_taken = |name: &&str| !SERVICE_PROPERTIES.contains(name) && found.iter().any(|found| found == name);
    match names.find(is_taken) {
        Some(name) => Err(DbError::Reserved(name.to_owned())),
        None => Ok(()),
    }
}

/// Why properties of these names could not be inserted into an image that has none of them: the database takes a property that the
/// image has for one of the service's, or one of these for one of the service's that the image has. To be called after a unique key
/// has refused them, and by what is there then, whatever the transaction has read before.
pub(super) async fn clash(session: &mut Session, image: &str, names: &[&str]) -> Result<Option<DbError>, DbError> {
    if session.dialect() != Dialect::MySql || names.is_empty() {
        return Ok(None);
    }
    // By the collation of the column.
    let place =
        Func::cust("FIELD").args([Expr::col("name")].into_iter().chain(names.iter().map(|&name| Expr::val(name))));
    let query = Query::select()
        .column("name")
        .expr(place)
        .from("image_properties")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("name").is_in(SERVICE_PROPERTIES))
        .lock_exclusive()
        .take();
    let read = |row: &dyn super::row::Row| {
        let mut columns = Columns::of(row);
        Ok((columns.text()?, columns.integer()?))
    };
    let found = session.rows(&query, read).await?;
    Ok(found.into_iter().find_map(|(known, place)| {
        let name = usize::try_from(place).ok()?.checked_sub(1).and_then(|index| names.get(index))?;
        if !SERVICE_PROPERTIES.contains(&known.as_str()) {
            Some(DbError::InTheWay(known))
        } else {
            (known != *name).then(|| DbError::Reserved((*name).to_owned()))
        }
    }))
}

/// To be called before properties of these names are inserted, which the image does not have. One that the database takes for one of the
/// service's may have been removed by its user; marked as deleted it would be in the way of the service's, so it goes for good.
/// `deleted`: the names of properties that are so marked.
pub(super) async fn make_way<'a>(
    session: &mut Session,
    image: &str,
    mut deleted: impl Iterator<Item = &'a str>,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), DbError> {
    let own: Vec<&str> = names.filter(|name| SERVICE_PROPERTIES.contains(name)).collect();
    if session.dialect() != Dialect::MySql || own.is_empty() || deleted.all(is_plain) {
        return Ok(());
    }
    let delete = Query::delete()
        .from_table("image_properties")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("name").is_in(own))
        .and_where(live("image_properties").not())
        .take();
    session.execute(&delete).await.map(drop)
}

/// Where these names have no place: what its user has removed, and the database takes for one of them, goes for good. False: there was
/// no such property.
pub(super) async fn drop_removed(session: &mut Session, image: &str, names: &[&'static str]) -> Result<bool, DbError> {
    let delete = Query::delete()
        .from_table("image_properties")
        .and_where(Expr::col("image_id").eq(image))
        .and_where(Expr::col("name").is_in(names.iter().copied()))
        .and_where(is_named(session.dialect(), names).not())
        .and_where(live("image_properties").not())
        .take();
    Ok(session.execute(&delete).await? > 0)
}

/// Whether no collation takes the name for another one of such characters.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_names_need_no_question() {
        for (name, expected) in [
            ("hw_disk_bus", true),
            ("com.example:x-1", true),
            ("OS_GLANCE_IMPORT_TASK", false),
            ("os_glance_import_task ", false),
            ("ös_glance_import_task", false),
        ] {
            assert_eq!(is_plain(name), expected, "{name}");
        }
        assert!(SERVICE_PROPERTIES.into_iter().all(is_plain));
    }
}
