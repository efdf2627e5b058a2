//! That a writer lives, for those who follow its file in other processes.

use std::sync::Arc;

use super::blocking::blocking;
use super::layout::Layout;
use crate::store::OpenFile;

/// Keeps followers waiting for the writer of a file that is ours while it does not grow; see [`Layout::show_life`].
pub(super) async fn show_life(file: &Arc<OpenFile>) {
    let own = Arc::clone(file);
    // Without a thread the next sign does it.
    let _ = blocking(move || {
        Layout::show_life(&own);
        Ok(())
    })
    .await;
}
