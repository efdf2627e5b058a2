//! From bytes to findings.

use super::vhdx::{BLOCK, Vhdx};
use super::vmdk::Vmdk;
use super::{Format, Found, Size, gpt, iso, luks, qcow2, simple};

/// Watches a stream go by.
#[derive(Debug, Default)]
pub struct Inspector {
    total: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The first 64 KiB are being collected.
    Head(Vec<u8>),
    /// Most formats are decided; these read on.
    Body { known: Vec<Found>, vmdk: Vmdk, vhdx: Vhdx },
    /// The rest of the stream only counts.
    Settled(Inspection),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Inspector {
    /// Ready for the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        let at = self.total;
        self.total = self.total.saturating_add(chunk.len() as u64);
        match &mut self.stage {
            Stage::Settled(_) => return,
            Stage::Head(head) => {
                let (piece, rest) = chunk.split_at((BLOCK - head.len()).min(chunk.len()));
                head.extend_from_slice(piece);
                if head.len() < BLOCK {
                    return;
                }
                let mut body = Stage::read(head);
                body.feed(BLOCK as u64, rest);
                self.stage = body;
            }
            Stage::Body { .. } => self.stage.feed(at, chunk),
        }
        if self.stage.is_settled() {
            self.stage = Stage::Settled(std::mem::take(&mut self.stage).finish(self.total));
        }
    }

    /// Whether nothing in the rest of the stream changes what is found, but for its length.
    pub fn is_settled(&self) -> bool {
        self.stage.is_settled()
    }

    /// The stream has ended.
    pub fn finish(self) -> Inspection {
        self.stage.finish(self.total)
    }

    /// Bytes held while the stream goes by.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.stage {
            Stage::Head(head) => head.capacity(),
            Stage::Body { vmdk, vhdx, .. } => vmdk.held() + vhdx.held(),
            Stage::Settled(_) => 0,
        }
    }
}

impl Stage {
    /// Decides what the head can decide.
    fn read(head: &[u8]) -> Self {
        let known = [
            qcow2::find(head),
            simple::vhd(head),
            simple::vdi(head),
            simple::qed(head),
            iso::find(head),
            gpt::find(head),
            luks::find(head),
        ];
        Self::Body { known: known.into_iter().flatten().collect(), vmdk: Vmdk::begin(head), vhdx: Vhdx::begin(head) }
    }

    fn feed(&mut self, at: u64, chunk: &[u8]) {
        if let Self::Body { vmdk, vhdx, .. } = self {
            vmdk.feed(at, chunk);
            vhdx.feed(at, chunk);
        }
    }

    fn is_settled(&self) -> bool {
        match self {
            Self::Head(_) => false,
            Self::Body { vmdk, vhdx, .. } => vmdk.is_settled() && vhdx.is_settled(),
            Self::Settled(_) => true,
        }
    }

    fn finish(self, total: u64) -> Inspection {
        match self {
            Self::Head(head) => Self::read(&head).finish(total),
            Self::Body { mut known, vmdk, vhdx } => {
                known.extend(vmdk.finish());
                known.extend(vhdx.finish(total));
                known.sort_by_key(|found| found.format);
                if known.is_empty() {
                    known.push(Found::new(Format::Raw, Size::StreamWithout(0)));
                }
                Inspection { total, found: known }
            }
            Self::Settled(inspection) => Inspection { total, ..inspection },
        }
    }
}

/// What was in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    total: u64,
    found: Vec<Found>,
}

impl Inspection {
    /// The formats that matched, at least one: [`Format::Raw`] if no other.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Bytes of the stream.
    pub fn actual_size(&self) -> u64 {
        self.total
    }
}
