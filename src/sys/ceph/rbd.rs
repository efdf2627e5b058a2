//! Images of a pool (librbd).

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use bytes::Bytes;

use super::completion::{InFlight, Pending, start_read, start_write};
use super::library::Functions;
use super::rados::{CephPool, text};
use super::{c_string, check};

/// The feature that makes clones of an image's snapshots possible.
const LAYERING: u64 = 1;

/// An open image.
pub(crate) struct Image {
    functions: &'static Functions,
    /// A `rbd_image_t`.
    raw: *mut c_void,
    in_flight: Arc<InFlight>,
    /// Closed after the image.
    _pool: Arc<CephPool>,
}

// SAFETY: librbd's images may be used by all threads, at the same time too.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl CephPool {
    /// Makes an image of format 2, with `features` or, when that is 0, those that clones need. Its objects have `1 << order`
    /// bytes.
    ///
    /// # Errors
    /// `EEXIST` when there is one of that name.
    pub(crate) fn create(&self, name: &str, size: u64, features: u64, order: u32) -> io::Result<()> {
        let name = c_string(name)?;
        let features = if features == 0 { LAYERING } else { features };
        let mut order = c_int::try_from(order).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the pool is open; the name ends in a zero, and it and `order` outlive the call.
        check(unsafe { (self.functions.rbd_create2)(self.raw, name.as_ptr(), size, features, &raw mut order) })?;
        Ok(())
    }

    /// Removes an image that has no snapshots and is not in use.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTEMPTY` when it has snapshots, `EBUSY` when it is in use.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let name = c_string(name)?;
        // SAFETY: the pool is open; the name ends in a zero and outlives the call.
        check(unsafe { (self.functions.rbd_remove)(self.raw, name.as_ptr()) })?;
        Ok(())
    }

    /// Takes an image out of sight, until its last clone is gone and somebody empties the pool's trash.
    ///
    /// # Errors
    /// `ENOENT`, `EBUSY` when it is in use.
    pub(crate) fn move_to_trash(&self, name: &str) -> io::Result<()> {
        let name = c_string(name)?;
        // SAFETY: as in `remove`.
        check(unsafe { (self.functions.rbd_trash_move)(self.raw, name.as_ptr(), 0) })?;
        Ok(())
    }

    /// Opens an image for writing.
    ///
    /// # Errors
    /// `ENOENT` when there is none of that name.
    pub(crate) fn open(self: &Arc<Self>, name: &str) -> io::Result<Image> {
        self.open_by(self.functions.rbd_open, name, None)
    }

    /// Opens an image, or a snapshot of it, for reading.
    ///
    /// # Errors
    /// `ENOENT` when there is no such image or snapshot.
    pub(crate) fn open_read_only(self: &Arc<Self>, name: &str, snapshot: Option<&str>) -> io::Result<Image> {
        self.open_by(self.functions.rbd_open_read_only, name, snapshot)
    }

    fn open_by(
        self: &Arc<Self>,
        open: unsafe extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void, *const c_char) -> c_int,
        name: &str,
        snapshot: Option<&str>,
    ) -> io::Result<Image> {
        let name = c_string(name)?;
        let snapshot = snapshot.map(c_string).transpose()?;
        let snapshot = snapshot.as_ref().map_or(null(), |snapshot| snapshot.as_ptr());
        let mut raw = null_mut();
        // SAFETY: the pool is open; the name ends in a zero and outlives the call, and so does the snapshot's unless it is
        // null, which means none. The call writes a handle to the place it is given.
        check(unsafe { open(self.raw, name.as_ptr(), &raw mut raw, snapshot) })?;
        Ok(Image { functions: self.functions, raw, in_flight: Arc::default(), _pool: Arc::clone(self) })
    }
}

impl Image {
    /// What tells the image from every other one, also from a later one of the same name.
    ///
    /// # Errors
    /// What librbd says.
    pub(crate) fn id(&self) -> io::Result<String> {
        // SAFETY: the image is open, and the call writes no more than there is room for, the last byte a zero.
        text(|buffer, size| unsafe { (self.functions.rbd_get_id)(self.raw, buffer, size) })
    }

    /// Bytes.
    ///
    /// # Errors
    /// What librbd says.
    pub(crate) fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        // SAFETY: the image is open, and the call writes a number to the place it is given.
        check(unsafe { (self.functions.rbd_get_size)(self.raw, &raw mut size) })?;
        Ok(size)
    }

    /// Makes the image larger or smaller.
    ///
    /// # Errors
    /// What librbd says.
    pub(crate) fn resize(&self, size: u64) -> io::Result<()> {
        // SAFETY: the image is open.
        check(unsafe { (self.functions.rbd_resize)(self.raw, size) })?;
        Ok(())
    }

    /// Waits until all that was written is durable.
    ///
    /// # Errors
    /// What librbd says, of earlier writes too.
    pub(crate) fn flush(&self) -> io::Result<()> {
        // SAFETY: the image is open.
        check(unsafe { (self.functions.rbd_flush)(self.raw) })?;
        Ok(())
    }

    /// # Errors
    /// `EEXIST` when there is one of that name.
    pub(crate) fn create_snapshot(&self, name: &str) -> io::Result<()> {
        self.on_snapshot(self.functions.rbd_snap_create, name)
    }

    /// Sees that a snapshot stays, so that it can be cloned.
    ///
    /// # Errors
    /// What librbd says.
    pub(crate) fn protect_snapshot(&self, name: &str) -> io::Result<()> {
        self.on_snapshot(self.functions.rbd_snap_protect, name)
    }

    /// # Errors
    /// `ENOENT`, `EINVAL` when it is not protected, `EBUSY` when it has clones that need it to be.
    pub(crate) fn unprotect_snapshot(&self, name: &str) -> io::Result<()> {
        self.on_snapshot(self.functions.rbd_snap_unprotect, name)
    }

    /// # Errors
    /// `ENOENT`, `EBUSY` when it is protected.
    pub(crate) fn remove_snapshot(&self, name: &str) -> io::Result<()> {
        self.on_snapshot(self.functions.rbd_snap_remove, name)
    }

    fn on_snapshot(
        &self,
        call: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
        name: &str,
    ) -> io::Result<()> {
        let name = c_string(name)?;
        // SAFETY: the image is open; the name ends in a zero and outlives the call.
        check(unsafe { call(self.raw, name.as_ptr()) })?;
        Ok(())
    }

    /// Whether somebody has the image open for writing; this one is not counted when it is open for reading.
    ///
    /// # Errors
    /// What librbd says.
    pub(crate) fn has_writers(&self) -> io::Result<bool> {
        let mut count = 0;
        // SAFETY: the image is open. The call writes entries only as far as `count` says there is room, which is none, and
        // then their number to it.
        match check(unsafe { (self.functions.rbd_watchers_list)(self.raw, null_mut(), &raw mut count) }) {
            Ok(_) => Ok(count != 0),
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Starts to write pieces one after the other, and returns. Does not block.
    ///
    /// # Errors
    /// The write could not be started; the outcome of one that was is in what is returned.
    pub(crate) fn write(&self, offset: u64, pieces: Vec<Bytes>) -> io::Result<Pending<()>> {
        start_write(self.functions, self.raw, &self.in_flight, offset, pieces)
    }

    /// Starts to read, and returns. Does not block.
    ///
    /// # Errors
    /// As [`Image::write`].
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Pending<Bytes>> {
        start_read(self.functions, self.raw, &self.in_flight, offset, length)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.in_flight.wait();
        // SAFETY: the handle is open, nobody else has it, and nothing is under way on it. A failure to close has no remedy.
        unsafe { (self.functions.rbd_close)(self.raw) };
    }
}
