//! Records of `event_type: stats`: what a window came to as a whole.

use super::destination::Destination;
use super::record::{
    Books, Capture, Decoder, Detect, Gomon, PortContacts, Record, Stats, StatsFlow,
};
use super::{Eve, Window, whole_seconds};
use crate::core::{Contacts, Ledger};
use crate::sink::proto;

/// The most ports whose contacts a record lists.
const PORTS_LISTED: usize = 256;

impl Eve {
    /// The record of a window as a whole, `idle` or `busy`.
    pub(super) fn window_stats<'a>(
        &'a self,
        classification: &'static str,
        window: &'a Window<'_>,
    ) -> Record<'a> {
        let report = window.report;
        let listed = self.stats.then(|| by_port(&report.contacts));
        let gomon = Gomon {
            windows: Some(report.windows),
            ledger: Some(Books::from(&report.ledger)),
            contacts_by_port_omitted: listed
                .as_ref()
                .map(|listed| (report.contacts.len() - listed.len()) as u64),
            contacts_by_port: listed,
            ..self.global(classification, report)
        };
        let uptime = self.start.map_or(0, |start| whole_seconds(report.span.end.since(start)));
        let sole = report.busiest.filter(|_| report.hosts.count == 1).map(|busiest| busiest.host);
        Record {
            stats: Some(Stats {
                uptime,
                capture: Capture {
                    kernel_packets: report.so_far.seen() + report.so_far.lost,
                    kernel_drops: report.so_far.lost,
                },
                decoder: Decoder {
                    pkts: report.so_far.seen(),
                    invalid: report.so_far.malformed_total(),
                },
                flow: StatsFlow { active: report.endpoints },
                detect: Detect { alert: self.alerts },
            }),
            metadata: self.beside(gomon),
            ..self.common(
                "stats",
                window,
                &Destination::shared(sole.as_slice(), report.hosts.count),
            )
        }
    }
}

impl From<&Ledger> for Books {
    fn from(ledger: &Ledger) -> Self {
        Self {
            frames: ledger.seen(),
            counted: ledger.counted,
            not_from_bot: ledger.not_from_bot,
            ignored: ledger.ignored,
            not_ip: ledger.not_ip,
            malformed: ledger.malformed_total(),
            lost: ledger.lost,
            late: ledger.late,
            wild: ledger.wild,
        }
    }
}

/// The ports with most contacts, [`PORTS_LISTED`] at most, by protocol and port.
fn by_port(contacts: &[Contacts]) -> Vec<PortContacts> {
    let mut most: Vec<_> = contacts.iter().collect();
    // The order of protocols and ports is kept among equals.
    most.sort_by_key(|contacts| std::cmp::Reverse(contacts.hosts()));
    most.truncate(PORTS_LISTED);
    most.sort_by_key(|contacts| (contacts.protocol, contacts.port));
    let listed = most.into_iter().map(|contacts| PortContacts {
        proto: proto::name(contacts.protocol),
        dest_port: contacts.port,
        contacts: contacts.hosts(),
        answered: contacts.answered,
        unanswered: contacts.unanswered,
    });
    listed.collect()
}
