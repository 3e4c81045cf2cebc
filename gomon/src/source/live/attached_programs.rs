//! The programs that are attached, per interface. The bots on an interface share them.

use aya::programs::links::FdLink;
use aya::programs::tc::SchedClassifierLink;
use hashbrown::HashMap;

use super::clsact::LivenessSocket;
use super::mode::AttachMode;

/// A program that is attached for as long as this exists.
#[expect(dead_code, reason = "held until it is dropped")]
pub(super) enum ProgramLink {
    Xdp(FdLink),
    Classifier(SchedClassifierLink),
}

/// What is attached to an interface.
pub(super) struct InterfacePrograms {
    pub(super) mode: AttachMode,
    /// Dropped before the sockets, which mark the filters as in use.
    pub(super) links: Vec<ProgramLink>,
    pub(super) liveness: Vec<LivenessSocket>,
    /// Whether a program at TC egress sees the replies to the bots.
    pub(super) sees_replies: bool,
    /// The number of bots on the interface.
    pub(super) bots: usize,
}

/// What is attached, by the index of the interface.
#[derive(Default)]
pub(super) struct AttachedPrograms(HashMap<u32, InterfacePrograms>);

impl AttachedPrograms {
    pub(super) fn get(&mut self, interface: u32) -> Option<&mut InterfacePrograms> {
        self.0.get_mut(&interface)
    }

    pub(super) fn insert(&mut self, interface: u32, attachment: InterfacePrograms) {
        self.0.insert(interface, attachment);
    }

    /// Removes a bot from an interface. Returns what is attached there if it was the last one.
    pub(super) fn release(&mut self, interface: u32) -> Option<InterfacePrograms> {
        let attachment = self.0.get_mut(&interface)?;
        attachment.bots = attachment.bots.saturating_sub(1);
        if attachment.bots > 0 {
            return None;
        }
        self.0.remove(&interface)
    }
}
