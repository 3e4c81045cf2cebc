//! An interface that a counter is attached to.

use std::fmt;

use anyhow::{Context, Result};

use super::attach::{self, Attached};
use super::clock::MonotonicClock;
use super::clsact::LivenessSocket;
use super::config::CounterConfig;
use super::counter::Counter;
use super::interface;
use super::mode::AttachMode;

/// A counter attached to an interface.
pub struct Live {
    pub(super) interface: String,
    /// The index of the interface, which does not change when it is renamed.
    pub(super) index: u32,
    pub(super) counter: Counter,
    /// Dropped after the counter, whose filters they mark as in use.
    _liveness: Vec<LivenessSocket>,
    mode: AttachMode,
    /// When it was attached.
    pub(super) attached: MonotonicClock,
}

impl Live {
    /// Attaches to `interface` in the first of `modes` that works, and starts to count what `config`
    /// selects.
    ///
    /// # Errors
    ///
    /// When no mode works, with the reason of each.
    pub(super) fn attach(
        interface: &str,
        modes: &[AttachMode],
        config: &CounterConfig,
    ) -> Result<Self> {
        let index = interface::index(interface).and_then(|index| index.parse().ok());
        let index = index.context("there is no such interface")?;
        let Attached { mode, counter, liveness } = attach::attach(interface, modes, config)?;
        let attached = MonotonicClock::start();
        let interface = interface.to_owned();
        Ok(Self { interface, index, counter, _liveness: liveness, mode, attached })
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
