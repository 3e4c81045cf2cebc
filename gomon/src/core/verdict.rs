//! The verdicts on a window, as data.

use gomon_common::{Address, Endpoint};

use super::policy::Policy;
use super::sweep::SweepTest;
use super::time::{Span, seconds};
use super::{Counts, Ledger};

/// What is under attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttackTarget {
    /// One endpoint.
    Endpoint(Endpoint),
    /// A host whose endpoints are each below the threshold, as in a flood to random ports.
    Host {
        /// The host.
        host: Address,
        /// Its ports among the listed endpoints.
        ports: u64,
        /// The protocol, if all its listed endpoints share one.
        protocol: Option<u8>,
    },
}

impl AttackTarget {
    /// The host under attack.
    #[must_use]
    pub fn host(&self) -> Address {
        match self {
            Self::Endpoint(endpoint) => endpoint.address(),
            Self::Host { host, .. } => *host,
        }
    }
}

/// A swept port: most hosts that the bot contacts on it do not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The transport protocol.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// The hosts of the contacts decided in this window, ascending.
    pub hosts: Vec<Address>,
    /// The state of the test at the end of the window.
    pub test: SweepTest,
}

/// The number of contacts with one service that were decided in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceContacts {
    /// The transport protocol.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// Hosts that answered.
    pub answered: u64,
    /// Hosts that did not.
    pub unanswered: u64,
}

impl ServiceContacts {
    /// The number of hosts.
    #[must_use]
    pub fn hosts(&self) -> u64 {
        self.answered + self.unanswered
    }
}

/// A finding about a window. Records are written in the order of the variants.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// More packets per second to one destination than the packet threshold.
    Attack {
        /// The destination.
        target: AttackTarget,
        /// The traffic to it.
        counts: Counts,
    },
    /// More ports of one host than the port threshold.
    VerticalScan {
        /// The host.
        host: Address,
        /// Its ports, of all protocols that have ports.
        ports: u64,
        /// The protocol, if the ports are all of one.
        protocol: Option<u8>,
        /// The traffic to the host.
        counts: Counts,
    },
    /// More hosts than the destination threshold: a horizontal scan.
    Scan {
        /// The hosts that count towards the scan, ascending; unlisted hosts are missing.
        hosts: Vec<Address>,
    },
    /// A swept port.
    Sweep {
        /// The sweep.
        sweep: Sweep,
        /// The traffic in the window to listed endpoints with that port.
        counts: Counts,
    },
    /// An ordinary destination.
    Connection {
        /// The destination.
        endpoint: Endpoint,
        /// The traffic to it.
        counts: Counts,
    },
    /// Neither an attack nor a scan of any kind.
    Idle,
}

/// A number of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCount {
    /// The number.
    pub count: u64,
    /// Whether it was counted, not estimated.
    pub exact: bool,
}

/// The host with the most packets in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busiest {
    /// The host.
    pub host: Address,
    /// The endpoint that accounts for all of the host's traffic, if there is one.
    pub endpoint: Option<Endpoint>,
    /// The traffic to the host.
    pub counts: Counts,
}

/// The verdicts on one window, or on a series of silent ones.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    /// The number of the window's first pane, counted from the start of the observation.
    pub first_pane: u64,
    /// The number of windows: 1, or those of a series of silent windows that is reported as one.
    pub windows: u64,
    /// The time they cover.
    pub span: Span,
    /// The length by which counts are divided for a rate, in seconds.
    pub seconds: f64,
    /// The frames by outcome.
    pub ledger: Ledger,
    /// The frames by outcome from the start of the observation to the end of this window.
    pub cumulative_ledger: Ledger,
    /// The counted traffic.
    pub total: Counts,
    /// The counted traffic from the start of the observation to the end of this window.
    pub cumulative_total: Counts,
    /// The contacts decided in the window, by protocol and port, ascending.
    pub contacts: Vec<ServiceContacts>,
    /// Distinct destination hosts.
    pub hosts: HostCount,
    /// Listed destination endpoints.
    pub endpoints: u64,
    /// The hosts that count towards a horizontal scan.
    pub scanned_hosts: HostCount,
    /// Packets to unlisted endpoints.
    pub overflow_packets: u64,
    /// The host with the most packets, the lowest address among equals.
    pub busiest: Option<Busiest>,
    /// The most ports of one host, among the listed endpoints.
    pub most_ports: u64,
    /// The verdicts, in the order in which they are written.
    pub verdicts: Vec<Verdict>,
    /// For [`Sources::Any`](super::Sources::Any): for each verdict, the source of its packets if they have a single
    /// one. Otherwise empty.
    pub verdict_sources: Vec<Option<Address>>,
}

impl WindowReport {
    /// Converts a number of this window to a rate per second.
    #[must_use]
    pub fn rate(&self, count: u64) -> f64 {
        rate(count, self.seconds)
    }

    /// Whether the window is longer than `policy` defines, as a live one may be.
    #[must_use]
    pub fn exceeds_nominal_length(&self, policy: &Policy) -> bool {
        self.seconds > seconds(policy.window_nanoseconds())
    }

    /// Whether the window is idle.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.verdicts.last() == Some(&Verdict::Idle)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one window")]
pub(super) fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}
