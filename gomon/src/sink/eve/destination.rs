//! The destination that a record is about, and the ids that depend on it.

use gomon_common::{Address, Endpoint, hash, protocol};

use crate::core::Span;

/// The destination that a record is about.
#[derive(Clone, Copy)]
pub(super) struct RecordDestination {
    pub(super) address: Address,
    /// The address that the flow id is computed from, with protocol and port.
    pub(super) subject: Address,
    pub(super) protocol: Option<u8>,
    pub(super) port: Option<u16>,
}

impl RecordDestination {
    pub(super) fn of(address: Address) -> Self {
        Self { address, subject: address, protocol: None, port: None }
    }

    /// Returns the destination of a record about `count` hosts, of which `hosts` are the listed ones: a single host,
    /// otherwise the unspecified address of their family.
    pub(super) fn shared(hosts: &[Address], count: u64) -> Self {
        match hosts {
            [host] if count == 1 => Self::of(*host),
            [_, ..] if !hosts.iter().any(|host| host.is_v4()) => Self::of(Address::v6([0; 16])),
            _ => Self::of(Address::v4([0; 4])),
        }
    }
}

impl From<Endpoint> for RecordDestination {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            protocol: Some(endpoint.protocol()),
            port: Some(endpoint.port()),
            ..Self::of(endpoint.address())
        }
    }
}

/// Returns the endpoint's port, if its protocol has ports.
pub(super) fn port(endpoint: &Endpoint) -> Option<u16> {
    protocol::has_ports(endpoint.protocol()).then_some(endpoint.port())
}

/// The seed of all ids of a run: a hash of sensor and sample, because the bots of two hosts may have the
/// same address.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdSeed(u64);

impl IdSeed {
    /// Returns the seed for these names. Without a name it is the hash's offset basis.
    pub(super) fn new(sensor: Option<&str>, sample: Option<&str>) -> Self {
        if sensor.is_none() && sample.is_none() {
            return Self(FNV_OFFSET);
        }
        // UTF-8 never contains the byte that ends a name.
        let names = [sensor, sample].map(|name| name.unwrap_or_default().bytes().chain([0xff]));
        Self(hash(FNV_OFFSET, names.into_iter().flatten()))
    }

    /// Returns the flow id, which all records of one destination share: a hash of sensor, sample, bot, destination,
    /// port and protocol. It has 51 bits, as in Suricata, so that JavaScript can represent it. For a whole host only
    /// the address is hashed, because its packets may be of one protocol in one window and of several in the next.
    pub(super) fn flow_id(self, source: Address, destination: &RecordDestination) -> u64 {
        let hosts = source.bytes().into_iter().chain(destination.subject.bytes());
        let service = destination.port.zip(destination.protocol);
        let service = service.map(|(port, protocol)| {
            let [high, low] = port.to_be_bytes();
            [high, low, protocol]
        });
        let hash = hash(self.0, hosts.chain(service.into_iter().flatten()));
        (hash ^ (hash >> 51)) & ((1 << 51) - 1)
    }

    /// Returns the seed of all ids of a window's records, which is also a hash of the interface and the times.
    pub(super) fn window(self, interface: &str, window: Span) -> WindowIdSeed {
        let times = [window.start, window.end].map(|time| time.nanoseconds().to_be_bytes());
        let bytes = interface.bytes().chain([0xff]).chain(times.into_iter().flatten());
        WindowIdSeed(hash(self.0, bytes))
    }
}

/// See [`IdSeed::window`].
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowIdSeed(u64);

impl WindowIdSeed {
    /// Returns the id of a record: a hash of its window, flow, classification and scope.
    pub(super) fn record_id(self, flow_id: u64, classification: &str, scope: &str) -> u64 {
        let kind = hash(self.0, classification.bytes().chain([0xff]).chain(scope.bytes()));
        hash::hash([kind, flow_id])
    }
}

/// The offset basis and the prime of 64-bit FNV-1a (RFC 9923).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn hash(start: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}
