//! Data of which nothing needs to be written where a store provisions thinly.

/// Looks at a block for anything but zeros; gives up early, as most blocks differ at their start.
pub(super) fn is_zero(block: &[u8]) -> bool {
    let clear = |part: &[u8]| part.iter().fold(0, |all, byte| all | byte) == 0;
    let mut parts = block.chunks_exact(256);
    parts.all(clear) && clear(block.chunks_exact(256).remainder())
}
