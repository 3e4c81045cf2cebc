//! Attributes verdicts to a source, where packets of every source are counted.

use gomon_common::{Address, Endpoint};

use super::sweep::service;
use super::verdict::{AttackTarget, Sweep, Verdict};
use super::{Counts, Origin, WindowCounts};

/// Returns the source of the packets that a verdict is about; `None` if there are several, or it is not known.
pub(super) fn source_of(window: &WindowCounts, verdict: &Verdict) -> Option<Address> {
    match verdict {
        Verdict::Attack { target: AttackTarget::Endpoint(endpoint), .. }
        | Verdict::Connection { endpoint, .. } => single_source(window, [endpoint]),
        Verdict::Attack { target: AttackTarget::Host { host, .. }, counts }
        | Verdict::VerticalScan { host, counts, .. } => {
            let start = window.endpoints.partition_point(|(e, _)| e.address() < *host);
            let own = window.endpoints[start..].iter().take_while(|(e, _)| e.address() == *host);
            let mut listed = Counts::default();
            own.clone().for_each(|(_, counts)| listed += *counts);
            // The source of packets to unlisted endpoints is not known.
            if listed != *counts {
                return None;
            }
            single_source(window, own.map(|(endpoint, _)| endpoint))
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
        let found = window.origins.binary_search_by_key(endpoint, |(endpoint, _)| *endpoint);
        let Origin::One(source) = window.origins[found.ok()?].1 else { return None };
        if single.is_some_and(|single| single != source) {
            return None;
        }
        single = Some(source);
    }
    single
}
