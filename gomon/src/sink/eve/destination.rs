//! What a record is about, and the number that the records about it share.

use gomon_common::{Address, Endpoint, hash, protocol};

use crate::core::Span;

/// What a record is about.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    pub(super) address: Address,
    /// What its flow id is made of beside protocol and port.
    pub(super) subject: Address,
    pub(super) protocol: Option<u8>,
    pub(super) port: Option<u16>,
}

impl Destination {
    pub(super) fn of(address: Address) -> Self {
        Self { address, subject: address, protocol: None, port: None }
    }

    /// Of `count` hosts, of which these are known: the one there is, or an unspecified address of
    /// their family.
    pub(super) fn shared(hosts: &[Address], count: u64) -> Self {
        match hosts {
            [host] if count == 1 => Self::of(*host),
            [_, ..] if !hosts.iter().any(|host| host.is_v4()) => Self::of(Address::v6([0; 16])),
            _ => Self::of(Address::v4([0; 4])),
        }
    }
}

impl From<Endpoint> for Destination {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            protocol: Some(endpoint.protocol()),
            port: Some(endpoint.port()),
            ..Self::of(endpoint.address())
        }
    }
}

/// Its port, where its protocol has one.
pub(super) fn port(endpoint: &Endpoint) -> Option<u16> {
    protocol::has_ports(endpoint.protocol()).then_some(endpoint.port())
}

/// What all hashes of a run start with: sensor and sample, for two hosts may have bots of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    /// Without a name it is the start of the hash itself.
    pub(super) fn new(sensor: Option<&str>, sample: Option<&str>) -> Self {
        if sensor.is_none() && sample.is_none() {
            return Self(FNV_OFFSET);
        }
        // No UTF-8 has the byte that ends a name.
        let names = [sensor, sample].map(|name| name.unwrap_or_default().bytes().chain([0xff]));
        Self(hash(FNV_OFFSET, names.into_iter().flatten()))
    }

    /// A number that the records of one destination share: a hash of sensor, sample, bot, destination,
    /// port and protocol, in the 51 bits that Suricata keeps so that JavaScript can hold it. What is sent
    /// to a whole host may be of one protocol now and of several later, so of a host its address is
    /// enough.
    pub(super) fn flow_id(self, source: Address, destination: &Destination) -> u64 {
        let hosts = source.bytes().into_iter().chain(destination.subject.bytes());
        let service = destination.port.zip(destination.protocol);
        let service = service.map(|(port, protocol)| {
            let [high, low] = port.to_be_bytes();
            [high, low, protocol]
        });
        let hash = hash(self.0, hosts.chain(service.into_iter().flatten()));
        (hash ^ (hash >> 51)) & ((1 << 51) - 1)
    }

    /// What all ids of a window's records start with: where and when it was seen.
    pub(super) fn window(self, interface: &str, window: Span) -> WindowSeed {
        let times = [window.start, window.end].map(|time| time.nanoseconds().to_be_bytes());
        let bytes = interface.bytes().chain([0xff]).chain(times.into_iter().flatten());
        WindowSeed(hash(self.0, bytes))
    }
}

/// See [`Seed::window`].
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowSeed(u64);

impl WindowSeed {
    /// What a record is known by: a hash of its window, of its flow, and of what it says of it.
    pub(super) fn record_id(self, flow_id: u64, classification: &str, scope: &str) -> u64 {
        let says = hash(self.0, classification.bytes().chain([0xff]).chain(scope.bytes()));
        hash::hash([says, flow_id])
    }
}

/// The offset basis and the prime of FNV-1a with 64 bits (RFC 9923).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn hash(start: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}
