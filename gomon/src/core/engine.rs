//! From panes to judged windows.

use std::collections::{BTreeMap, VecDeque};

use gomon_common::Address;

use super::judge::{self, Contacts, HostSet, Sweep, WindowReport};
use super::sliding::Sliding;
use super::sweep::{Decision, Service, Sweeps, service};
use super::{Counts, Ledger, Policy, Span, Timestamp, WindowCounts};

/// Silent windows in a row that are reported one by one. The rest of such a run is one report that
/// gives their number, so that a gap in a capture makes no endless output.
pub const SILENT_WINDOWS_REPORTED: u64 = 1000;

/// Sums panes into windows and has each judged.
///
/// Window `k` covers panes `k` to `k + n - 1`. A window is judged when its last pane is there. At the
/// end the last window is the one that holds the last pane; only when the whole observation was
/// shorter than one window does it lack panes. Where the clock is set, one observation ends and
/// another begins, as far as windows go.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    panes: VecDeque<WindowCounts>,
    /// Their sum, where a window has several.
    sliding: Option<Sliding>,
    /// Panes pushed so far, those skipped included.
    pushed: u64,
    so_far: Ledger,
    total_so_far: Counts,
    sweeps: Sweeps,
    /// Of each pane in `panes`, the contacts that were decided in it.
    decided: VecDeque<Vec<Decision>>,
    before: HostSet,
    silent: u64,
    run: Option<WindowReport>,
}

impl Engine {
    /// An engine that judges by `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            sliding: (policy.panes() > 1).then(Sliding::default),
            policy,
            panes: VecDeque::new(),
            pushed: 0,
            so_far: Ledger::default(),
            total_so_far: Counts::default(),
            sweeps: Sweeps::default(),
            decided: VecDeque::new(),
            before: HostSet::default(),
            silent: 0,
            run: None,
        }
    }

    /// Takes the next pane, and hands the windows it completes to `report`.
    pub fn pane(&mut self, mut counts: WindowCounts, report: &mut impl FnMut(WindowReport)) {
        let needed = self.policy.panes();
        if self.panes.len() == needed {
            self.decided.pop_front();
            if let (Some(oldest), Some(sliding)) = (self.panes.pop_front(), &mut self.sliding) {
                sliding.remove(&oldest);
            }
        }
        let decided = match self.policy.sweep_hosts {
            Some(_) => self.sweeps.pane(&counts),
            None => Vec::new(),
        };
        self.decided.push_back(decided);
        counts.contacts = Vec::new(); // read, and of no use to windows
        self.so_far += &counts.ledger;
        self.total_so_far += counts.total();
        if let Some(sliding) = &mut self.sliding {
            sliding.add(&counts);
        }
        self.panes.push_back(counts);
        self.pushed += 1;
        if self.panes.len() == needed {
            self.window(report);
        }
    }

    /// Takes so many panes in which nothing at all was seen, the first of which starts at `start`.
    /// However many they are, the work is bounded.
    pub fn silence(&mut self, start: Timestamp, panes: u64, report: &mut impl FnMut(WindowReport)) {
        let step = self.policy.step_nanoseconds();
        let mut start = start;
        let mut left = panes;
        while left > 0 && !self.run_is_compact() {
            self.pane(WindowCounts::empty(Span::starting(start, step)), report);
            start = start.after(step);
            left -= 1;
        }
        if let (Some(run), 1..) = (&mut self.run, left) {
            // From here on every pane completes one more silent window, equal to the one before.
            let length = i64::try_from(left).unwrap_or(i64::MAX).saturating_mul(step);
            run.windows += left;
            run.span.end = run.span.end.after(length);
            self.pushed += left;
            self.silent += left;
            for pane in &mut self.panes {
                pane.span = Span::starting(pane.span.start.after(length), step);
            }
        }
    }

    /// The clock was set by so many nanoseconds between the last pane and the next. No window spans both:
    /// the observation so far is judged as at its end, and windows start anew.
    pub fn clock_set(&mut self, by: i64, report: &mut impl FnMut(WindowReport)) {
        self.finish(report);
        self.sweeps.clock_set(by);
    }

    /// Judges by no threshold from here on: all of them are numbers in a time, and nothing is known of
    /// the time. Sweeps know no threshold.
    pub fn judge_no_rates(&mut self) {
        self.policy.packet_threshold = f64::INFINITY;
        self.policy.destination_threshold = f64::INFINITY;
        self.policy.port_threshold = None;
    }

    /// Ends the observation: what is still open is judged.
    pub fn finish(&mut self, report: &mut impl FnMut(WindowReport)) {
        if !self.panes.is_empty() && self.panes.len() < self.policy.panes() {
            self.window(report);
        }
        self.panes.clear();
        self.decided.clear();
        self.sliding = self.sliding.take().map(|_| Sliding::default());
        if let Some(run) = self.run.take() {
            report(run);
        }
    }

    /// The tests for sweeps, as far as they are.
    #[must_use]
    pub fn sweeps(&self) -> &Sweeps {
        &self.sweeps
    }

    /// Whether silence goes on in a run that is reported as one.
    fn run_is_compact(&self) -> bool {
        self.run.is_some()
            && !self.sweeps.is_waiting()
            && self.panes.iter().all(|pane| pane.ledger.seen() == 0)
            && self.decided.iter().all(Vec::is_empty)
    }

    /// The hosts that were found to answer, or not to, in the window that the panes at hand make up: by
    /// service, and how many of them answered.
    fn contacted(&self) -> BTreeMap<Service, (Vec<Address>, u64)> {
        let mut services: BTreeMap<_, (Vec<_>, u64)> = BTreeMap::new();
        for (endpoint, answered) in self.decided.iter().flatten() {
            let (hosts, answers) = services.entry(service(endpoint)).or_default();
            hosts.push(endpoint.address());
            *answers += u64::from(*answered);
        }
        services
    }

    /// Of these services, those that are swept.
    fn swept(&self, contacted: BTreeMap<Service, (Vec<Address>, u64)>) -> Vec<Sweep> {
        let Some(fewest) = self.policy.sweep_hosts else { return Vec::new() };
        let swept = contacted.into_iter().filter_map(|((protocol, port), (mut hosts, _))| {
            let walk = self.sweeps.swept((protocol, port), fewest)?;
            hosts.sort_unstable();
            Some(Sweep { protocol, port, hosts, walk })
        });
        swept.collect()
    }

    /// Judges the window that the panes at hand make up.
    fn window(&mut self, report: &mut impl FnMut(WindowReport)) {
        let window = match &self.sliding {
            Some(sliding) => sliding.sum(&self.panes),
            None => WindowCounts::sum(&self.panes),
        };
        let first_pane = self.pushed - self.panes.len() as u64;
        let contacted = self.contacted();
        let contacts = contacted.iter().map(|(&(protocol, port), (hosts, answered))| Contacts {
            protocol,
            port,
            answered: *answered,
            unanswered: hosts.len() as u64 - answered,
        });
        let contacts = contacts.collect();
        let swept = self.swept(contacted);
        let (mut judged, hosts) =
            judge::judge(&self.policy, first_pane, &window, swept, &self.before);
        self.before = hosts;
        judged.so_far = self.so_far;
        judged.total_so_far = self.total_so_far;
        judged.contacts = contacts;
        if !(window.is_silent() && judged.is_idle()) {
            self.silent = 0;
            if let Some(run) = self.run.take() {
                report(run);
            }
            report(judged);
            return;
        }
        self.silent += 1;
        if self.silent <= SILENT_WINDOWS_REPORTED {
            report(judged);
        } else if let Some(run) = &mut self.run {
            run.windows += 1;
            run.span.end = judged.span.end;
            run.so_far = judged.so_far;
            // Windows overlap when they slide; what the newest pane brings is new in any case.
            if let Some(newest) = self.panes.back() {
                run.ledger += &newest.ledger;
            }
        } else {
            if let Some(newest) = self.panes.back() {
                judged.ledger = newest.ledger;
            }
            self.run = Some(judged);
        }
    }
}
