//! Packets that are read a second time from where they came from, instead of being kept.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use anyhow::Result;
use gomon_common::Address;
use hashbrown::HashMap;

use crate::core::{Verdict, WindowReport};
use crate::frame::Frame;

/// Takes a packet between the bot and a host.
type Each<'a> = &'a mut dyn FnMut(Address, &Frame<'_>);
/// Reads a part of a capture, given by its bytes.
type ReadAgain = dyn FnMut(Range<u64>, Each<'_>) -> Result<()>;

/// A capture whose parts can be read again.
pub struct Recall {
    read: Box<ReadAgain>,
    /// The part that is the latest pane that was closed.
    pane: Range<u64>,
}

impl Recall {
    /// Packets that `read` hands on: those of a part of a capture, each with its remote host.
    #[must_use]
    pub fn new(read: impl FnMut(Range<u64>, Each<'_>) -> Result<()> + 'static) -> Self {
        Self { read: Box::new(read), pane: 0..0 }
    }

    /// The next pane starts here, and the one before ends.
    pub(super) fn starts_at(&mut self, position: u64) {
        self.pane = self.pane.end..position;
    }

    /// Hands the last packets of the closed pane to `keep`: of each of `hosts` so many, in the order in
    /// which they were captured. Read once to see how many there are, and once more for the last ones.
    pub(super) fn last_packets(
        &mut self,
        hosts: &BTreeSet<Address>,
        packets_per_host: usize,
        mut keep: impl FnMut(Address, &Frame<'_>),
    ) -> Result<()> {
        let mut left: HashMap<Address, usize> = hosts.iter().map(|host| (*host, 0)).collect();
        (self.read)(self.pane.clone(), &mut |host, _| {
            if let Some(left) = left.get_mut(&host) {
                *left += 1;
            }
        })?;
        (self.read)(self.pane.clone(), &mut |host, frame| {
            if let Some(left) = left.get_mut(&host) {
                if *left <= packets_per_host {
                    keep(host, frame);
                }
                *left = left.saturating_sub(1);
            }
        })
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("pane", &self.pane).finish_non_exhaustive()
    }
}

/// The hosts whose packets the artifacts of a report hold.
pub(super) fn hosts(report: &WindowReport) -> BTreeSet<Address> {
    let mut wanted = BTreeSet::new();
    for verdict in &report.verdicts {
        match verdict {
            Verdict::Attack { target, .. } => {
                wanted.insert(target.host());
            }
            Verdict::VerticalScan { host, .. } => {
                wanted.insert(*host);
            }
            Verdict::Scan { hosts } => wanted.extend(hosts),
            Verdict::Sweep { sweep, .. } => wanted.extend(&sweep.hosts),
            Verdict::Connection { .. } | Verdict::Idle => {}
        }
    }
    wanted
}
