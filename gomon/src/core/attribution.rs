//! Attributes verdicts to a source address, for [`Sources::Any`](super::Sources::Any).

use gomon_common::{Address, Endpoint};

use super::sweep::service;
use super::verdict::{AttackTarget, Sweep, Verdict};
use super::{Counts, PacketSource, WindowCounts};

/// Returns the source of the packets that a verdict is about, or `None` if it is unknown or there are several.
pub(super) fn source_of(window: &WindowCounts, verdict: &Verdict) -> Option<Address> {
    match verdict {
        Verdict::Attack { target: AttackTarget::Endpoint(endpoint), .. }
        | Verdict::Connection { endpoint, .. } => single_source(window, [endpoint]),
        Verdict::Attack { target: AttackTarget::Host { host, .. }, counts }
        | Verdict::VerticalScan { host, counts, .. } => {
            let start = window.endpoints.partition_point(|(e, _)| e.address() < *host);
            let of_host =
                window.endpoints[start..].iter().take_while(|(e, _)| e.address() == *host);
            let mut listed = Counts::default();
            of_host.clone().for_each(|(_, counts)| listed += *counts);
            // The sources of packets to unlisted endpoints are not recorded.
            if listed != *counts {
                return None;
            }
            single_source(window, of_host.map(|(endpoint, _)| endpoint))
        }
        Verdict::Sweep { sweep: Sweep { protocol, port, .. }, .. } => {
            let is_swept = |endpoint: &&Endpoint| service(endpoint) == (*protocol, *port);
            let endpoints = window.endpoints.iter().map(|(endpoint, _)| endpoint);
            single_source(window, endpoints.filter(is_swept))
        }
        Verdict::Scan { .. } | Verdict::Idle => None,
    }
}

/// Returns the source of all packets to `endpoints`, if it is a single one.
fn single_source<'a>(
    window: &WindowCounts,
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> Option<Address> {
    let mut single = None;
    for endpoint in endpoints {
        let found =
            window.endpoint_sources.binary_search_by_key(endpoint, |(endpoint, _)| *endpoint);
        let PacketSource::One(source) = window.endpoint_sources[found.ok()?].1 else { return None };
        if single.is_some_and(|single| single != source) {
            return None;
        }
        single = Some(source);
    }
    single
}
