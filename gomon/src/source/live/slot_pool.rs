//! The slots that no bot has, some of them with maps.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use anyhow::{Result, anyhow};
use gomon_common::kernel::DEFAULT_DESTINATIONS;

use super::slot_maps::{OuterMaps, SlotMaps};

/// The number of slots with maps that are kept for new bots if there is more than one bot, so that adding a
/// bot does not wait for its maps.
const SPARE: usize = 16;

/// The free slots.
pub(super) struct SlotPool {
    outer: Arc<OuterMaps>,
    /// The slots without maps, or with maps of another capacity than the default.
    empty: Vec<u32>,
    /// The slots with maps.
    ready: Vec<SlotMaps>,
    /// The thread that provides slots with maps, if there is one.
    provided: Option<Provider>,
    keeps_spare: bool,
    /// Whether the last of the empty slots has maps of another capacity. Their memory is freed when they are replaced.
    is_to_be_replaced: bool,
}

/// A thread that provides slots with maps.
struct Provider {
    slots: Vec<u32>,
    result: Receiver<Result<Vec<SlotMaps>>>,
}

impl SlotPool {
    pub(super) fn new(outer: OuterMaps, slots: u32) -> Self {
        Self {
            outer: Arc::new(outer),
            empty: (0..slots).rev().collect(),
            ready: Vec::new(),
            provided: None,
            keeps_spare: slots > 1,
            is_to_be_replaced: false,
        }
    }

    /// Whether no slot is free.
    pub(super) fn is_empty(&self) -> bool {
        self.empty.is_empty() && self.ready.is_empty() && self.provided.is_none()
    }

    pub(super) fn outer(&self) -> &OuterMaps {
        &self.outer
    }

    /// Provides `slots` more slots with maps of the default capacity, the first at once and the others by a thread: a slot
    /// takes less time than attaching.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for lack of memory.
    pub(super) fn reserve(&mut self, slots: usize) -> Result<()> {
        let slots = self.take_empty(slots.min(SPARE));
        let provided = self.outer.provide(&slots, capacity());
        if provided.is_err() {
            self.empty.extend(&slots);
        }
        self.ready.extend(provided?);
        self.start_providing();
        Ok(())
    }

    /// Takes a slot with maps of this capacity.
    ///
    /// # Errors
    ///
    /// When all slots are taken, or the kernel refuses to create maps.
    pub(super) fn take(&mut self, wanted: u32) -> Result<SlotMaps> {
        self.collect(self.ready.is_empty() && (wanted == capacity() || self.empty.is_empty()));
        let found = self.ready.iter().rposition(|maps| maps.capacity() == wanted);
        let taken = match found {
            Some(position) => self.ready.swap_remove(position),
            None => self.provide(wanted)?,
        };
        self.start_providing();
        Ok(taken)
    }

    /// Provides a slot with maps of this capacity.
    fn provide(&mut self, wanted: u32) -> Result<SlotMaps> {
        if self.empty.is_empty() {
            // The maps of another capacity are replaced.
            self.empty.extend(self.ready.pop().map(|maps| maps.slot));
        }
        let slots = self.take_empty(1);
        let provided = self.outer.provide(&slots, wanted);
        if provided.is_err() {
            self.empty.extend(&slots);
        }
        provided?.pop().ok_or_else(|| anyhow!("all slots are taken"))
    }

    /// Takes a slot, which may have maps that are not used.
    ///
    /// # Errors
    ///
    /// When all slots are taken.
    pub(super) fn take_without_maps(&mut self) -> Result<u32> {
        self.collect(self.empty.is_empty() && self.ready.is_empty());
        let slot = self.empty.pop().or_else(|| self.ready.pop().map(|maps| maps.slot));
        slot.ok_or_else(|| anyhow!("all slots are taken"))
    }

    /// Takes back a slot that was taken without maps.
    pub(super) fn give_back_without_maps(&mut self, slot: u32) {
        self.empty.push(slot);
    }

    /// Takes back a slot whose maps are empty.
    pub(super) fn give_back(&mut self, maps: SlotMaps) {
        if self.keeps_spare && maps.capacity() == capacity() {
            self.ready.push(maps);
        } else {
            self.empty.push(maps.slot);
            self.is_to_be_replaced = true;
            self.start_providing();
        }
    }

    fn take_empty(&mut self, slots: usize) -> Vec<u32> {
        let left = self.empty.len().saturating_sub(slots);
        self.empty.split_off(left)
    }

    /// Starts a thread that provides spare slots with maps, if they are needed.
    fn start_providing(&mut self) {
        let is_needed = self.ready.len() < SPARE / 2 || self.is_to_be_replaced;
        if !self.keeps_spare || !is_needed || self.provided.is_some() {
            return;
        }
        self.is_to_be_replaced = false;
        let slots = self.take_empty(SPARE);
        let (sender, receiver) = mpsc::channel();
        let (outer, wanted) = (Arc::clone(&self.outer), slots.clone());
        let work = move || {
            let _ = sender.send(outer.provide(&wanted, capacity()));
        };
        match thread::Builder::new().name("slots".into()).spawn(work) {
            Ok(_) => self.provided = Some(Provider { slots, result: receiver }),
            Err(_) => self.empty.extend(slots),
        }
    }

    /// Collects the result of the thread, if there is one. Waits for it if `wait`.
    fn collect(&mut self, wait: bool) {
        let Some(Provider { slots, result }) = self.provided.take() else { return };
        let received = if wait {
            result.recv().ok()
        } else {
            match result.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.provided = Some(Provider { slots, result });
                    return;
                }
                received => received.ok(),
            }
        };
        match received {
            Some(Ok(maps)) => self.ready.extend(maps),
            Some(Err(error)) => {
                log::debug!("{error:#}");
                self.empty.extend(slots);
            }
            None => self.empty.extend(slots),
        }
    }
}

/// The capacity of the maps of spare slots.
fn capacity() -> u32 {
    u32::try_from(DEFAULT_DESTINATIONS).unwrap_or(u32::MAX)
}
