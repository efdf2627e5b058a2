//! Clusters and their pools (librados).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::library::{Functions, functions};
use super::{c_string, check};

/// Longer than any value that is asked for.
const VALUE: usize = 4096;

/// A client with its configuration, not yet connected.
pub(crate) struct Client {
    raw: Raw,
}

/// A connection to a cluster. The libraries keep it alive by themselves: they find monitors and OSDs again that went away.
pub(crate) struct Cluster {
    raw: Raw,
}

/// A pool of a cluster.
pub(crate) struct CephPool {
    pub(super) functions: &'static Functions,
    /// A `rados_ioctx_t`.
    pub(super) raw: *mut c_void,
    /// Closed after the pool.
    _cluster: Arc<Cluster>,
}

/// A `rados_t`.
struct Raw {
    functions: &'static Functions,
    handle: *mut c_void,
}

// SAFETY: librados says of its handles that all threads may use them, at the same time too.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}
// SAFETY: as above; the one call that is not safe beside others, setting the namespace or snapshot of a pool, is never made.
unsafe impl Send for CephPool {}
// SAFETY: as above.
unsafe impl Sync for CephPool {}

impl Client {
    /// Loads the libraries and makes a client of this name, `client.admin` for one.
    ///
    /// # Errors
    /// The libraries are not there, which the text says, or the name is none.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let functions = functions().map_err(io::Error::other)?;
        let (cluster, name) = (c_string("ceph")?, c_string(name)?);
        let mut handle = null_mut();
        // SAFETY: the two strings end in a zero and outlive the call, which writes a handle to the place it is given.
        check(unsafe { (functions.rados_create2)(&raw mut handle, cluster.as_ptr(), name.as_ptr(), 0) })?;
        Ok(Self { raw: Raw { functions, handle } })
    }

    /// Reads a ceph.conf; without a path the first one in librados' usual places.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub(crate) fn read_file(&self, path: Option<&str>) -> io::Result<()> {
        let path = path.map(c_string).transpose()?;
        let place = path.as_ref().map_or(null(), |path| path.as_ptr());
        // SAFETY: `place` is null, which the call takes for its default, or a string that ends in a zero and outlives it.
        check(unsafe { (self.raw.functions.rados_conf_read_file)(self.raw.handle, place) })?;
        Ok(())
    }

    /// # Errors
    /// There is no such option, or the value does not suit it.
    pub(crate) fn set(&self, option: &str, value: &str) -> io::Result<()> {
        let (option, value) = (c_string(option)?, c_string(value)?);
        // SAFETY: both strings end in a zero and outlive the call.
        check(unsafe { (self.raw.functions.rados_conf_set)(self.raw.handle, option.as_ptr(), value.as_ptr()) })?;
        Ok(())
    }

    /// # Errors
    /// There is no such option.
    pub(crate) fn option(&self, option: &str) -> io::Result<String> {
        self.raw.option(option)
    }

    /// # Errors
    /// No monitor answers in time (`client_mount_timeout`), or the user is refused.
    pub(crate) fn connect(self) -> io::Result<Cluster> {
        // SAFETY: the handle is not connected: this takes the client, and is the only call that connects one.
        check(unsafe { (self.raw.functions.rados_connect)(self.raw.handle) })?;
        Ok(Cluster { raw: self.raw })
    }
}

impl Cluster {
    /// The id of the cluster.
    ///
    /// # Errors
    /// What librados says.
    pub(crate) fn fsid(&self) -> io::Result<String> {
        let Raw { functions, handle } = self.raw;
        // SAFETY: the handle is connected.
        text(|buffer, size| unsafe { (functions.rados_cluster_fsid)(handle, buffer, size) })
    }

    /// An option of the client's configuration.
    ///
    /// # Errors
    /// There is no such option.
    pub(crate) fn option(&self, option: &str) -> io::Result<String> {
        self.raw.option(option)
    }

    /// Opens a pool.
    ///
    /// # Errors
    /// `ENOENT` when there is none of that name.
    pub(crate) fn pool(self: &Arc<Self>, name: &str) -> io::Result<CephPool> {
        let Raw { functions, handle } = self.raw;
        let name = c_string(name)?;
        let mut raw = null_mut();
        // SAFETY: the handle is connected; the name ends in a zero and outlives the call, which writes a handle to the place
        // it is given.
        check(unsafe { (functions.rados_ioctx_create)(handle, name.as_ptr(), &raw mut raw) })?;
        Ok(CephPool { functions, raw, _cluster: Arc::clone(self) })
    }
}

impl Drop for CephPool {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody else has it: images keep their pool.
        unsafe { (self.functions.rados_ioctx_destroy)(self.raw) };
    }
}

impl Raw {
    fn option(&self, option: &str) -> io::Result<String> {
        let option = c_string(option)?;
        // SAFETY: the name ends in a zero and outlives the call.
        text(|buffer, size| unsafe { (self.functions.rados_conf_get)(self.handle, option.as_ptr(), buffer, size) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the handle is good, and nobody else has it: pools keep their cluster. Nothing is under way: images, which
        // keep their pool, wait for their reads and writes.
        unsafe { (self.functions.rados_shutdown)(self.handle) };
    }
}

/// What a function writes into a buffer, up to its first zero.
pub(super) fn text(fill: impl FnOnce(*mut c_char, usize) -> c_int) -> io::Result<String> {
    let mut buffer = vec![0_u8; VALUE];
    check(fill(buffer.as_mut_ptr().cast(), buffer.len()))?;
    let written = CStr::from_bytes_until_nul(&buffer).map_err(io::Error::other)?;
    Ok(written.to_string_lossy().into_owned())
}
