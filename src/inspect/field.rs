//! Numbers at fixed places of a header. Bytes that are not there read as zero: callers check the length where it matters.

/// `N` bytes at `at`, or zeroes.
pub(super) fn bytes<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

pub(super) fn u8(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or(0)
}

pub(super) fn le16(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(data, at))
}

pub(super) fn le32(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(data, at))
}

pub(super) fn le64(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(data, at))
}

pub(super) fn be16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes(data, at))
}

pub(super) fn be32(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(data, at))
}

pub(super) fn be64(data: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(data, at))
}
