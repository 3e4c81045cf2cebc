//! What is measured: traffic of the bot, and what the machine achieves.

use std::{fmt, time::Duration};

use anyhow::Result;
use gomon_xdpgen::Tap;

use super::streams::{self, Transfer};
use super::{cpu, tap_frames};
use crate::bench::network::{Network, TAP};

#[derive(Clone, Copy)]
pub(super) enum Workload {
    /// TCP over a veth pair, with this many streams.
    Bulk(Transfer, usize),
    /// Frames of this length that are written into a tap.
    Tap(usize),
    /// Requests and responses over a veth pair.
    RoundTrips,
}

/// A figure of a workload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Per second, in the unit of the workload. More is better.
    Rate,
    /// The 99th percentile of a round trip, in microseconds.
    Tail,
    /// CPU time of the whole machine, in seconds per GB or per million packets.
    Cpu,
}

impl Figure {
    pub(super) const ALL: [Self; 3] = [Self::Rate, Self::Tail, Self::Cpu];
}

/// The figures of one run.
pub(super) struct Figures {
    pub(super) rate: f64,
    pub(super) tail: Option<f64>,
    pub(super) cpu: f64,
}

impl Figures {
    pub(super) fn get(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => Some(self.rate),
            Figure::Tail => self.tail,
            Figure::Cpu => Some(self.cpu),
        }
    }
}

impl Workload {
    pub(super) const ALL: [Self; 8] = [
        Self::Bulk(Transfer::Upload, 1),
        Self::Bulk(Transfer::Upload, 4),
        Self::Bulk(Transfer::Download, 1),
        Self::Bulk(Transfer::Download, 4),
        Self::Tap(65_000),
        Self::Tap(1514),
        Self::Tap(64),
        Self::RoundTrips,
    ];

    /// Returns the interface on which the traffic arrives.
    pub(super) fn interface(self) -> &'static str {
        match self {
            Self::Bulk(..) | Self::RoundTrips => TAP,
            Self::Tap(_) => tap_frames::NAME,
        }
    }

    /// Returns the unit of a figure.
    pub(super) fn unit(self, figure: Figure) -> &'static str {
        match (self, figure) {
            (Self::Bulk(..), Figure::Rate) => "Gbit/s",
            (Self::Tap(_), Figure::Rate) => "thousand frames/s",
            (Self::RoundTrips, Figure::Rate) => "thousand round trips/s",
            (_, Figure::Tail) => "us, 99th percentile",
            (Self::Bulk(..), Figure::Cpu) => "CPU s/GB",
            (Self::Tap(_), Figure::Cpu) => "CPU s/million frames",
            (Self::RoundTrips, Figure::Cpu) => "CPU s/million round trips",
        }
    }

    /// Returns the minimum of the rate with `--attach auto`, relative to no observer.
    pub(super) fn goal(self) -> f64 {
        match self {
            Self::Bulk(..) | Self::RoundTrips | Self::Tap(65_000) => 0.97,
            Self::Tap(1514) => 0.96,
            Self::Tap(_) => 0.92,
        }
    }

    /// Returns the minimum of the rate with `--save-packets`.
    pub(super) fn saving_goal(self) -> Option<f64> {
        matches!(self, Self::Bulk(Transfer::Upload, _)).then_some(0.9)
    }

    /// Sends traffic for `time`.
    #[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
    pub(super) fn run(self, network: &Network, tap: &mut Tap, time: Duration) -> Result<Figures> {
        match self {
            Self::Bulk(transfer, count) => {
                let (bytes, elapsed, [before, after]) =
                    streams::bulk(network, transfer, count, time, cpu::busy)?;
                let bytes = bytes as f64;
                let rate = bytes * 8.0 / 1e9 / elapsed.as_secs_f64();
                let cpu = after.saturating_sub(before).as_secs_f64() / (bytes / 1e9);
                Ok(Figures { rate, tail: None, cpu })
            }
            Self::Tap(length) => {
                let before = cpu::busy()?;
                let (frames, elapsed) = tap_frames::write(tap, length, time)?;
                let cpu = cpu::busy()?.saturating_sub(before);
                Ok(per_event(frames as f64, elapsed, cpu, None))
            }
            Self::RoundTrips => {
                let before = cpu::busy()?;
                let mut trips = streams::round_trips(network, time)?;
                let cpu = cpu::busy()?.saturating_sub(before);
                trips.sort_unstable();
                let tail = trips.get(trips.len() * 99 / 100).map(|trip| trip.as_secs_f64() * 1e6);
                Ok(per_event(trips.len() as f64, trips.iter().sum(), cpu, tail))
            }
        }
    }
}

/// Returns the figures of a number of events.
fn per_event(events: f64, elapsed: Duration, cpu: Duration, tail: Option<f64>) -> Figures {
    let rate = events / 1e3 / elapsed.as_secs_f64();
    Figures { rate, tail, cpu: cpu.as_secs_f64() / (events / 1e6) }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = |count| if count == 1 { "stream" } else { "streams" };
        match *self {
            Self::Bulk(Transfer::Upload, count) => {
                write!(f, "TCP upload, {count} {}", streams(count))
            }
            Self::Bulk(Transfer::Download, count) => {
                write!(f, "TCP download, {count} {}", streams(count))
            }
            Self::Tap(length @ 0..=1514) => write!(f, "tap, frames of {length} bytes"),
            Self::Tap(length) => write!(f, "tap, GSO frames of {length} bytes"),
            Self::RoundTrips => f.write_str("requests and responses"),
        }
    }
}
