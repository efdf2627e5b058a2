//! The functions of librados and librbd, found at run time.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

pub(super) type Completion = *mut c_void;
pub(super) type Callback = extern "C" fn(Completion, *mut c_void);

#[derive(Debug, thiserror::Error)]
#[error("Ceph's libraries cannot be loaded ({0}); install the packages librbd1 and librados2")]
pub(super) struct LibraryMissing(#[from] libloading::Error);

/// Declares the table of functions and how it is filled.
macro_rules! functions {
    ($($library:literal { $(fn $name:ident($($argument:ty),*) $(-> $answer:ty)?;)* })*) => {
        /// What the service calls. All of it is in librbd of Ceph 16 and has kept its meaning since.
        pub(super) struct Functions {
            $($(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*)*
            /// Keeps the functions where they are.
            _libraries: Vec<Library>,
        }

        fn load() -> Result<Functions, LibraryMissing> {
            let mut libraries = Vec::new();
            $(
                // SAFETY: the initialisers of Ceph's libraries have no preconditions, and they are never unloaded.
                let library = unsafe { Library::new($library) }?;
                // SAFETY: the types are those of rados/librados.h and rbd/librbd.h, and `_libraries` keeps the code for as
                // long as anybody can see the pointer.
                $(let $name = unsafe { *library.get(concat!(stringify!($name), "\0"))? };)*
                libraries.push(library);
            )*
            Ok(Functions { $($($name,)*)* _libraries: libraries })
        }
    };
}

functions! {
    "librados.so.2" {
        fn rados_create2(*mut *mut c_void, *const c_char, *const c_char, u64) -> c_int;
        fn rados_conf_read_file(*mut c_void, *const c_char) -> c_int;
        fn rados_conf_set(*mut c_void, *const c_char, *const c_char) -> c_int;
        fn rados_conf_get(*mut c_void, *const c_char, *mut c_char, usize) -> c_int;
        fn rados_connect(*mut c_void) -> c_int;
        fn rados_shutdown(*mut c_void);
        fn rados_cluster_fsid(*mut c_void, *mut c_char, usize) -> c_int;
        fn rados_ioctx_create(*mut c_void, *const c_char, *mut *mut c_void) -> c_int;
        fn rados_ioctx_destroy(*mut c_void);
    }
    "librbd.so.1" {
        fn rbd_create2(*mut c_void, *const c_char, u64, u64, *mut c_int) -> c_int;
        fn rbd_remove(*mut c_void, *const c_char) -> c_int;
        fn rbd_trash_move(*mut c_void, *const c_char, u64) -> c_int;
        fn rbd_open(*mut c_void, *const c_char, *mut *mut c_void, *const c_char) -> c_int;
        fn rbd_open_read_only(*mut c_void, *const c_char, *mut *mut c_void, *const c_char) -> c_int;
        fn rbd_close(*mut c_void) -> c_int;
        fn rbd_get_size(*mut c_void, *mut u64) -> c_int;
        fn rbd_get_id(*mut c_void, *mut c_char, usize) -> c_int;
        fn rbd_resize(*mut c_void, u64) -> c_int;
        fn rbd_flush(*mut c_void) -> c_int;
        fn rbd_snap_create(*mut c_void, *const c_char) -> c_int;
        fn rbd_snap_protect(*mut c_void, *const c_char) -> c_int;
        fn rbd_snap_unprotect(*mut c_void, *const c_char) -> c_int;
        fn rbd_snap_remove(*mut c_void, *const c_char) -> c_int;
        fn rbd_watchers_list(*mut c_void, *mut c_void, *mut usize) -> c_int;
        fn rbd_aio_create_completion(*mut c_void, Callback, *mut Completion) -> c_int;
        fn rbd_aio_get_return_value(Completion) -> isize;
        fn rbd_aio_release(Completion);
        fn rbd_aio_read(*mut c_void, u64, usize, *mut c_char, Completion) -> c_int;
        fn rbd_aio_writev(*mut c_void, *const libc::iovec, c_int, u64, Completion) -> c_int;
    }
}

static LOADED: OnceLock<Functions> = OnceLock::new();

/// Ends the process if the libraries are loaded. The usual end would destroy the global objects of the libraries while their
/// threads still use them, which now and then is a segmentation fault.
pub(crate) fn end_process_with_threads(status: u8) {
    if LOADED.get().is_some() {
        // SAFETY: the call takes a number and does not return.
        unsafe { libc::_exit(status.into()) }
    }
}

/// The libraries, loaded once and for good: their threads may outlive every handle. One that is missing is looked for again
/// the next time.
pub(super) fn functions() -> Result<&'static Functions, LibraryMissing> {
    match LOADED.get() {
        Some(loaded) => Ok(loaded),
        None => load().map(|loaded| LOADED.get_or_init(|| loaded)),
    }
}
