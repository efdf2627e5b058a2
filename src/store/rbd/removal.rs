//! The end of an image.

use std::io;
use std::sync::Arc;

use super::super::StoreError;
use super::cluster::Connection;
use crate::sys::ceph::{CephPool, Image};

/// Removes an image with its snapshot. One that still has other snapshots, or whose snapshot has clones of the kind that
/// needs no protection, goes into the pool's trash, as upstream has it. Blocks.
///
/// # Errors
/// `NotFound`, `InUse`, `RemoteUnavailable`, `WriteDenied`, `Io`: the image is as it was. `LeftBehind`: it has lost its
/// snapshot, and perhaps more.
pub(super) fn remove(
    connection: &Connection,
    pool: &Arc<CephPool>,
    name: &str,
    snapshot: Option<&str>,
) -> Result<(), StoreError> {
    remove_if(connection, pool, name, snapshot, None)
}

/// As [`remove`], for a write that is given up: takes the image with this id alone. Where a write could not be given up for a
/// long time, its name may be that of another host's image by now. Blocks.
///
/// # Errors
/// As [`remove`]; `NotFound` also where another image has the name.
pub(super) fn remove_written(
    connection: &Connection,
    pool: &Arc<CephPool>,
    name: &str,
    snapshot: &str,
    id: &str,
) -> Result<(), StoreError> {
    remove_if(connection, pool, name, Some(snapshot), Some(id))
}

/// `id`: the image's, where none but that one is meant.
fn remove_if(
    connection: &Connection,
    pool: &Arc<CephPool>,
    name: &str,
    snapshot: Option<&str>,
    id: Option<&str>,
) -> Result<(), StoreError> {
    let fault = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT) => StoreError::NotFound { image: name.to_owned() },
        Some(libc::EBUSY) => StoreError::InUse { image: name.to_owned() },
        _ => connection.writing(format!("removing the image {name}"), error),
    };
    let opened = match snapshot.map(|snapshot| (snapshot, pool.open(name))) {
        // Who died while making it may have left its name alone, which goes with the rest.
        Some((_, Err(error))) if id.is_none() && error.raw_os_error() == Some(libc::ENOENT) => None,
        opened => opened,
    };
    if let Some((snapshot, image)) = opened {
        let image = image.map_err(fault)?;
        check_id(&image, id).map_err(fault)?;
        match image.unprotect_snapshot(snapshot) {
            // EINVAL: it is not protected.
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                return Err(fault(error));
            }
            _ => {}
        }
        match image.remove_snapshot(snapshot) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                protect(&image, name, snapshot);
                return Err(fault(error));
            }
            _ => {}
        }
    }
    let removed = match pool.remove(name) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => {
            // The one with the id has lost its snapshot; this may be another one, which has just come.
            let is_same = id.map_or(Ok(()), |_| pool.open_read_only(name, None).and_then(|found| check_id(&found, id)));
            is_same.and_then(|()| {
                tracing::warn!(
                    image = name,
                    "an image to be removed has snapshots or clones; it goes into the pool's trash"
                );
                pool.move_to_trash(name)
            })
        }
        removed => removed,
    };
    removed.map_err(|error| match fault(error) {
        gone @ StoreError::NotFound { .. } => gone,
        // Without its snapshot, nobody can read it any more.
        other => StoreError::LeftBehind(Box::new(other)),
    })
}

/// `ENOENT` where another image than the one that is meant has been opened.
fn check_id(image: &Image, id: Option<&str>) -> io::Result<()> {
    match id {
        Some(id) if image.id()? != id => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        _ => Ok(()),
    }
}

/// Protects a snapshot that stays after all.
fn protect(image: &Image, name: &str, snapshot: &str) -> bool {
    let protected = image.protect_snapshot(snapshot).or_else(|_| image.protect_snapshot(snapshot));
    if let Err(error) = &protected {
        tracing::error!(image = name, snapshot, %error, "the snapshot of an image that stays is not protected any more");
    }
    protected.is_ok()
}

/// Whether `remove` would be refused. Blocks.
///
/// # Errors
/// `InUse`, `RemoteUnavailable`, `WriteDenied`, `Io`.
pub(super) fn check_unused(
    connection: &Connection,
    pool: &Arc<CephPool>,
    name: &str,
    snapshot: Option<&str>,
) -> Result<(), StoreError> {
    let in_use = || StoreError::InUse { image: name.to_owned() };
    let fault = |error| connection.writing(format!("looking whether the image {name} is in use"), error);
    let image = match pool.open_read_only(name, snapshot) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        opened => opened.map_err(fault)?,
    };
    if image.has_writers().map_err(fault)? {
        return Err(in_use());
    }
    let Some(snapshot) = snapshot else { return Ok(()) };
    // Clones are of two kinds, and only the older kind holds its snapshot. Whether there is one is told by whether the
    // protection can be taken away; if so, it is put back at once, as the image may stay yet. Listing them instead would open
    // each, in pools where the service has no rights.
    drop(image);
    let image = pool.open(name).map_err(fault)?;
    match image.unprotect_snapshot(snapshot) {
        Ok(()) => {
            protect(&image, name, snapshot);
            Ok(())
        }
        Err(error) => match error.raw_os_error() {
            Some(libc::EBUSY) => Err(in_use()),
            Some(libc::EINVAL | libc::ENOENT) => Ok(()),
            _ => Err(fault(error)),
        },
    }
}
