//! The set of hosts of a window, to find those that are new in the next one.

use gomon_common::Address;

use super::verdict::HostCount;
use super::{HyperLogLog, WindowCounts};

/// The hosts of a window: the listed ones exactly, the unlisted ones as a sketch.
#[derive(Clone, Debug, Default)]
pub(super) struct HostSet {
    listed: Vec<Address>,
    unlisted: Option<HyperLogLog>,
}

impl HostSet {
    /// Returns the hosts of `window`.
    pub(super) fn of(window: &WindowCounts) -> Self {
        Self {
            listed: window.hosts.iter().map(|(host, _)| *host).collect(),
            unlisted: window.overflow.distinct.clone(),
        }
    }

    /// The listed hosts, ascending.
    pub(super) fn listed(&self) -> &[Address] {
        &self.listed
    }

    /// Whether `host` is listed.
    pub(super) fn contains(&self, host: Address) -> bool {
        self.listed.binary_search(&host).is_ok()
    }

    /// Returns a sketch of all hosts, listed and unlisted.
    fn sketch(&self) -> HyperLogLog {
        let mut sketch = self.unlisted.clone().unwrap_or_default();
        self.listed.iter().for_each(|host| sketch.insert(*host));
        sketch
    }

    /// The number of hosts.
    pub(super) fn count(&self) -> HostCount {
        let listed = self.listed.len() as u64;
        match self.unlisted {
            None => HostCount { count: listed, exact: true },
            // There are at least as many hosts as are listed, whatever the estimate.
            Some(_) => HostCount { count: self.sketch().estimate().max(listed), exact: false },
        }
    }

    /// The number of hosts in `self` that are not in `previous`.
    pub(super) fn new_since(&self, previous: &Self) -> HostCount {
        if self.unlisted.is_none() && previous.unlisted.is_none() {
            let new = self.listed.iter().filter(|host| !previous.contains(**host));
            return HostCount { count: new.count() as u64, exact: true };
        }
        let mut union = self.sketch();
        union.merge(&previous.sketch());
        let count = union.estimate().saturating_sub(previous.count().count);
        HostCount { count, exact: false }
    }
}
