//! The table of interfaces with bots.

use anyhow::{Result, bail};
use aya::maps::{Array, MapData};
use gomon_common::bot::{BUCKET_ENTRIES, InterfaceEntry, bucket};
use hashbrown::HashMap;

/// An [`InterfaceBucket`](gomon_common::bot::InterfaceBucket).
pub(super) type BucketValue = [u64; BUCKET_ENTRIES];

/// The bots on an interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// Their slots.
    pub(super) bots: Vec<u32>,
    /// The slot of their group, once there was more than one.
    pub(super) group: Option<u32>,
}

/// The interfaces with bots, by their index.
pub(super) struct Interfaces {
    map: Array<MapData, BucketValue>,
    pub(super) members: HashMap<u32, Members>,
}

impl Interfaces {
    pub(super) fn new(map: Array<MapData, BucketValue>) -> Self {
        Self { map, members: HashMap::new() }
    }

    /// Returns the slot of the group on an interface.
    pub(super) fn group(&self, interface: u32) -> Option<u32> {
        self.members.get(&interface)?.group
    }

    /// Makes the programs count the packets on an interface in the slot of a bot or of a group, which is complete.
    ///
    /// # Errors
    ///
    /// When the table has no room. Nothing has changed then.
    pub(super) fn set(&mut self, interface: u32, slot: u32) -> Result<()> {
        let bucket = bucket(interface);
        let mut entries = self.map.get(&bucket, 0)?;
        let find = |index| {
            entries.iter().position(|word| InterfaceEntry::from_word(*word).interface == index)
        };
        let Some(position) = find(interface).or_else(|| find(0)) else {
            bail!("the table of interfaces has no room for number {interface}");
        };
        entries[position] = InterfaceEntry { interface, slot }.word();
        self.map.set(bucket, entries, 0)?;
        Ok(())
    }

    /// Makes the programs ignore the packets on an interface.
    pub(super) fn clear(&mut self, interface: u32) -> Result<()> {
        self.members.remove(&interface);
        let bucket = bucket(interface);
        let mut entries = self.map.get(&bucket, 0)?;
        for word in &mut entries {
            if InterfaceEntry::from_word(*word).interface == interface {
                *word = InterfaceEntry::default().word();
            }
        }
        self.map.set(bucket, entries, 0)?;
        Ok(())
    }
}
