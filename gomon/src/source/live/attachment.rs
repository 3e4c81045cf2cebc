//! An interface that a counter is attached to.

use std::fmt;

use anyhow::{Context, Result};

use super::attach::{self, Attached};
use super::clock::MonotonicClock;
use super::config::CounterConfig;
use super::counter::Counter;
use super::interface;
use super::mode::AttachMode;
use super::object::SharedObject;

/// A counter attached to an interface.
pub struct Live {
    pub(super) interface: String,
    /// The index of the interface, which does not change when it is renamed.
    pub(super) index: u32,
    pub(super) counter: Counter,
    mode: AttachMode,
    /// When it was attached.
    pub(super) attached: MonotonicClock,
    config: CounterConfig,
    object: SharedObject,
}

impl Live {
    /// Attaches to `interface` in the first of `modes` that works, and starts to count what `config`
    /// selects. [`Live::attach_egress`] is to follow.
    ///
    /// # Errors
    ///
    /// When no mode works, with the reason of each.
    pub(super) fn attach(
        interface: &str,
        modes: &[AttachMode],
        config: &CounterConfig,
        object: &SharedObject,
    ) -> Result<Self> {
        let index = interface::index(interface).and_then(|index| index.parse().ok());
        let index = index.context("there is no such interface")?;
        let Attached { mode, counter } = attach::attach(interface, modes, config, object)?;
        let attached = MonotonicClock::start();
        let interface = interface.to_owned();
        let (config, object) = (config.clone(), object.clone());
        Ok(Self { interface, index, counter, mode, attached, config, object })
    }

    /// Attaches the program that sees the packets to the bot, if it is needed.
    pub(super) fn attach_egress(&self) {
        if self.mode != AttachMode::Pcap {
            attach::attach_egress(&self.interface, self.index, &self.config, &self.object);
        }
    }

    /// Returns the mode in which it is attached.
    #[must_use]
    pub fn mode(&self) -> AttachMode {
        self.mode
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mode, self.interface)
    }
}
