//! What a record is about, and the number that the records about it share.

use gomon_common::{Address, Endpoint, protocol};

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

/// A number that the records of one destination share: FNV-1a of bot, destination, port and
/// protocol, in the 51 bits that Suricata keeps so that JavaScript can hold it. What is sent to a
/// whole host may be of one protocol now and of several later, so of a host its address is enough.
pub(super) fn flow_id(source: Address, destination: &Destination) -> u64 {
    let hosts = source.bytes().into_iter().chain(destination.subject.bytes());
    let service = destination.port.zip(destination.protocol);
    let service = service.map(|(port, protocol)| {
        let [high, low] = port.to_be_bytes();
        [high, low, protocol]
    });
    let subject = hosts.chain(service.into_iter().flatten());
    let hash = subject.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 51)) & ((1 << 51) - 1)
}
