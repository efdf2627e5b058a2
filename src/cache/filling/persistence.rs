//! Going on with a fill whose store broke off, or on which the work panicked: where it was, and for all who read behind it, as where a
//! writer died. Otherwise each of them would go to the store by itself.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::FillError;
use crate::cache::blocking::blocking;
use crate::cache::layout::{Layout, Left, TakeOver};
use crate::store::OpenFile;

/// How often a fill goes on, however far it comes in between: a store that always breaks off is not asked without end.
pub(super) const MOST_TIMES: u32 = 3;

/// Before a fill goes on for the first time; each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads an image into an incomplete file that is ours, in several attempts where that may help; its size. `attempt` begins behind what
/// the attempts before it, or a dead writer, have left.
///
/// # Errors
/// That of the last attempt.
pub(super) async fn persist<F: Future<Output = Result<u64, FillError>>>(
    layout: &Layout,
    id: &str,
    file: &Arc<OpenFile>,
    mut left: Left,
    mut attempt: impl FnMut(Left) -> F,
) -> Result<u64, FillError> {
    let (mut times, mut pause) = (0, PAUSE);
    loop {
        let attempted = AssertUnwindSafe(attempt(left)).catch_unwind().await;
        let failed = match attempted.unwrap_or(Err(FillError::Panicked)) {
            Ok(size) => return Ok(size),
            Err(failed) => failed,
        };
        if times == MOST_TIMES || !failed.may_pass(true) {
            return Err(failed);
        }
        let (place, name, own) = (layout.clone(), id.to_owned(), Arc::clone(file));
        match blocking(move || place.look_at(&name, &own)).await {
            // It is read again from its beginning where a store gives no parts: not in vain more than once.
            Ok(TakeOver::Ours(found)) if failed.is_end_of_data() && found.written == left.written => {
                return Err(failed);
            }
            Ok(TakeOver::Ours(found)) if failed.may_pass(found.written > 0) => left = found,
            // Also where somebody has removed the file: it cannot become an image of the cache any more.
            _ => return Err(failed),
        }
        tracing::warn!(image_id = id, error = %failed, "an image for the cache broke off, its store is asked again for the rest");
        times += 1;
        sleep(pause).await;
        pause *= 2;
    }
}
