//! Sums panes into windows, and judges each window.

use std::collections::{BTreeMap, VecDeque};

use gomon_common::Address;

use super::host_set::HostSet;
use super::judge::judge;
use super::sliding::SlidingSum;
use super::sweep::{ContactOutcome, Service, SweepDetector, service};
use super::verdict::{ServiceContacts, Sweep, WindowReport};
use super::{Counts, Ledger, Policy, Span, Timestamp, WindowCounts};

/// The number of consecutive silent windows that are reported individually. Further ones are combined into one
/// report with their number, so that a gap in a capture does not produce unbounded output.
pub const SILENT_WINDOWS_REPORTED: u64 = 1000;

/// Sums panes into windows and judges each window.
///
/// Window `k` covers panes `k` to `k + n - 1`, and is judged when its last pane is added. The last window of an
/// observation ends with the last pane. Only if the whole observation is shorter than one window does that
/// window have fewer than `n` panes. When the clock is set, one observation ends and the next one begins, so no
/// window spans the change.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    /// The latest panes, up to one window.
    panes: VecDeque<WindowCounts>,
    /// The sum of `panes`, if windows have more than one pane.
    sliding: Option<SlidingSum>,
    /// The number of panes added so far, including silent ones that were skipped.
    panes_added: u64,
    cumulative_ledger: Ledger,
    cumulative_total: Counts,
    sweeps: SweepDetector,
    /// The contacts decided in each of `panes`.
    decided: VecDeque<Vec<ContactOutcome>>,
    previous_hosts: HostSet,
    /// The number of consecutive silent windows up to now.
    silent_windows: u64,
    /// The combined report of silent windows, which is extended until a window is not silent.
    silent_report: Option<WindowReport>,
}

impl Engine {
    /// Creates an engine that judges by `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            sliding: (policy.panes() > 1).then(SlidingSum::default),
            policy,
            panes: VecDeque::new(),
            panes_added: 0,
            cumulative_ledger: Ledger::default(),
            cumulative_total: Counts::default(),
            sweeps: SweepDetector::default(),
            decided: VecDeque::new(),
            previous_hosts: HostSet::default(),
            silent_windows: 0,
            silent_report: None,
        }
    }

    /// Adds the next pane, and passes the windows that it completes to `report`.
    pub fn add_pane(&mut self, mut counts: WindowCounts, report: &mut impl FnMut(WindowReport)) {
        let panes_per_window = self.policy.panes();
        if self.panes.len() == panes_per_window {
            self.decided.pop_front();
            if let (Some(oldest), Some(sliding)) = (self.panes.pop_front(), &mut self.sliding) {
                sliding.remove(&oldest);
            }
        }
        let decided = match self.policy.sweep_hosts {
            Some(_) => self.sweeps.add_pane(&counts),
            None => Vec::new(),
        };
        self.decided.push_back(decided);
        counts.contacts = Vec::new(); // used by the sweep detector only
        self.cumulative_ledger += &counts.ledger;
        self.cumulative_total += counts.total();
        if let Some(sliding) = &mut self.sliding {
            sliding.add(&counts);
        }
        self.panes.push_back(counts);
        self.panes_added += 1;
        if self.panes.len() == panes_per_window {
            self.judge_window(report);
        }
    }

    /// Adds `panes` panes without frames, the first of which starts at `start`. The work is bounded
    /// independently of their number.
    pub fn add_silent_panes(
        &mut self,
        start: Timestamp,
        panes: u64,
        report: &mut impl FnMut(WindowReport),
    ) {
        let step = self.policy.step_nanoseconds();
        let mut start = start;
        let mut left = panes;
        while left > 0 && !self.can_extend_silent_report() {
            self.add_pane(WindowCounts::empty(Span::starting(start, step)), report);
            start = start.after(step);
            left -= 1;
        }
        if let (Some(silent), 1..) = (&mut self.silent_report, left) {
            // Every further pane completes one more silent window, equal to the previous one.
            let length = i64::try_from(left).unwrap_or(i64::MAX).saturating_mul(step);
            silent.windows += left;
            silent.span.end = silent.span.end.after(length);
            self.panes_added += left;
            self.silent_windows += left;
            for pane in &mut self.panes {
                pane.span = Span::starting(pane.span.start.after(length), step);
            }
        }
    }

    /// Ends the observation and starts another one, because the clock was set by `by` nanoseconds between the last
    /// pane and the next.
    pub fn clock_set(&mut self, by: i64, report: &mut impl FnMut(WindowReport)) {
        self.finish(report);
        self.sweeps.clock_set(by);
    }

    /// Disables all thresholds from now on, because they are rates and the elapsed time is unknown. Sweep
    /// detection does not depend on rates, and stays on.
    pub fn disable_thresholds(&mut self) {
        self.policy.packet_threshold = f64::INFINITY;
        self.policy.destination_threshold = f64::INFINITY;
        self.policy.port_threshold = None;
    }

    /// Ends the observation: judges an incomplete window if there was no complete one, and reports the silent
    /// windows that are still combined.
    pub fn finish(&mut self, report: &mut impl FnMut(WindowReport)) {
        if !self.panes.is_empty() && self.panes.len() < self.policy.panes() {
            self.judge_window(report);
        }
        self.panes.clear();
        self.decided.clear();
        self.sliding = self.sliding.take().map(|_| SlidingSum::default());
        if let Some(silent) = self.silent_report.take() {
            report(silent);
        }
    }

    /// The sweep detector.
    #[must_use]
    pub fn sweeps(&self) -> &SweepDetector {
        &self.sweeps
    }

    /// Whether further panes without frames only extend the combined report of silent windows.
    fn can_extend_silent_report(&self) -> bool {
        self.silent_report.is_some()
            && !self.sweeps.has_pending_contacts()
            && self.panes.iter().all(|pane| pane.ledger.seen() == 0)
            && self.decided.iter().all(Vec::is_empty)
    }

    /// Returns the contacts decided in the panes of the current window: for each service the hosts, and the number
    /// of those that answered.
    fn decided_contacts(&self) -> BTreeMap<Service, (Vec<Address>, u64)> {
        let mut services: BTreeMap<_, (Vec<_>, u64)> = BTreeMap::new();
        for ContactOutcome { endpoint, is_answered } in self.decided.iter().flatten() {
            let (hosts, answered) = services.entry(service(endpoint)).or_default();
            hosts.push(endpoint.address());
            *answered += u64::from(*is_answered);
        }
        services
    }

    /// Returns the sweeps among services with decided contacts.
    fn swept(&self, contacts: BTreeMap<Service, (Vec<Address>, u64)>) -> Vec<Sweep> {
        let Some(min_contacts) = self.policy.sweep_hosts else { return Vec::new() };
        let swept = contacts.into_iter().filter_map(|((protocol, port), (mut hosts, _))| {
            let test = self.sweeps.swept((protocol, port), min_contacts)?;
            hosts.sort_unstable();
            Some(Sweep { protocol, port, hosts, test })
        });
        swept.collect()
    }

    /// Judges the window that consists of the current panes.
    fn judge_window(&mut self, report: &mut impl FnMut(WindowReport)) {
        let window = match &self.sliding {
            Some(sliding) => sliding.sum(&self.panes),
            None => WindowCounts::sum(&self.panes),
        };
        let first_pane = self.panes_added - self.panes.len() as u64;
        let decided = self.decided_contacts();
        let contacts = decided.iter().map(|(&(protocol, port), (hosts, answered))| {
            let unanswered = hosts.len() as u64 - answered;
            ServiceContacts { protocol, port, answered: *answered, unanswered }
        });
        let contacts = contacts.collect();
        let swept = self.swept(decided);
        let (mut judged, hosts) =
            judge(&self.policy, first_pane, &window, swept, &self.previous_hosts);
        self.previous_hosts = hosts;
        judged.cumulative_ledger = self.cumulative_ledger;
        judged.cumulative_total = self.cumulative_total;
        judged.contacts = contacts;
        if !(window.is_silent() && judged.is_idle()) {
            self.silent_windows = 0;
            if let Some(silent) = self.silent_report.take() {
                report(silent);
            }
            report(judged);
            return;
        }
        self.silent_windows += 1;
        if self.silent_windows <= SILENT_WINDOWS_REPORTED {
            report(judged);
        } else if let Some(silent) = &mut self.silent_report {
            silent.windows += 1;
            silent.span.end = judged.span.end;
            silent.cumulative_ledger = judged.cumulative_ledger;
            // Sliding windows overlap, so only the newest pane's frames are added.
            if let Some(newest) = self.panes.back() {
                silent.ledger += &newest.ledger;
            }
        } else {
            if let Some(newest) = self.panes.back() {
                judged.ledger = newest.ledger;
            }
            self.silent_report = Some(judged);
        }
    }
}
