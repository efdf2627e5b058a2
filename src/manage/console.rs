//! Standard output.

use std::fmt::Display;
use std::io::Write as _;

/// A line for standard output. A reader that has gone is no reason to stop in the middle of a change.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
