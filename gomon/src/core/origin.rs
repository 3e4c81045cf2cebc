//! Whose packets a verdict is about, where every source counts: the one source they have, if it is one.

use std::ops::AddAssign;

use gomon_common::{Address, Endpoint};

use super::judge::{Sweep, Target, Verdict};
use super::sweep::service;
use super::{Counts, WindowCounts};

/// Where the packets to an endpoint came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// All from here.
    One(Address),
    /// From more than one source.
    Several,
}

impl AddAssign for Origin {
    fn add_assign(&mut self, other: Self) {
        if *self != other {
            *self = Self::Several;
        }
    }
}

/// The one source of what a verdict is about; `None` where there are several, or that is not known.
pub(super) fn of_verdict(window: &WindowCounts, verdict: &Verdict) -> Option<Address> {
    match verdict {
        Verdict::Attack { target: Target::Endpoint(endpoint), .. }
        | Verdict::Connection { endpoint, .. } => sole(window, [endpoint]),
        Verdict::Attack { target: Target::Host { host, .. }, counts }
        | Verdict::VerticalScan { host, counts, .. } => {
            let start = window.endpoints.partition_point(|(e, _)| e.address() < *host);
            let own = window.endpoints[start..].iter().take_while(|(e, _)| e.address() == *host);
            let mut listed = Counts::default();
            own.clone().for_each(|(_, counts)| listed += *counts);
            // Of what went to endpoints that are not listed, the source is not known.
            if listed == *counts { sole(window, own.map(|(endpoint, _)| endpoint)) } else { None }
        }
        Verdict::Sweep { sweep: Sweep { protocol, port, .. }, .. } => {
            let swept = |endpoint: &&Endpoint| service(endpoint) == (*protocol, *port);
            sole(window, window.endpoints.iter().map(|(endpoint, _)| endpoint).filter(swept))
        }
        Verdict::Scan { .. } | Verdict::Idle => None,
    }
}

/// The one source of the packets to some endpoints.
fn sole<'a>(
    window: &WindowCounts,
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> Option<Address> {
    let mut sole = None;
    for endpoint in endpoints {
        let found = window.origins.binary_search_by_key(endpoint, |(endpoint, _)| *endpoint);
        let Origin::One(source) = window.origins[found.ok()?].1 else { return None };
        if sole.is_some_and(|sole| sole != source) {
            return None;
        }
        sole = Some(source);
    }
    sole
}
