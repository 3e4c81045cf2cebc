//! What a fleet takes.

use std::{
    fmt, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::fleet_network::FleetNetwork;
use crate::bench::process::Process;

/// How long a fleet may take to attach everything.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a process holds.
#[derive(Clone, Copy)]
pub(super) struct HeldResources {
    resident_kib: u32,
    descriptors: usize,
    maps: usize,
    links: usize,
    map_bytes: u64,
}

/// A row of the table.
pub(super) struct FleetRow {
    counting: Duration,
    answers: Duration,
    cpu: Duration,
    quiet: Duration,
    held: HeldResources,
}

impl HeldResources {
    /// Starts a fleet, and observes it.
    pub(super) fn start(
        network: &FleetNetwork,
        gomon: &Path,
        directory: &Path,
        taps: u32,
        quiet: Duration,
    ) -> Result<FleetRow> {
        let records = directory.join("eve.json");
        let defaults = format!("eve_log_path = {:?}", records.display().to_string());
        let mut command = network.fleet(gomon, directory, &defaults)?;
        let started = Instant::now();
        let (mut process, _stdout) = Process::start(&mut command)?;
        if let Some(status) = process.wait_for(&format!(" {taps} counting, "))? {
            return Err(process.error(&status.to_string()));
        }
        let counting = started.elapsed();
        // Two programs on each tap.
        let links = usize::try_from(taps)? * 2;
        while Self::of(&process)?.links < links {
            ensure!(
                started.elapsed() < TIMEOUT,
                "not all programs were attached within {TIMEOUT:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        let answers = started.elapsed();
        // Spare maps for further bots are created meanwhile.
        thread::sleep(Duration::from_secs(1));
        let cpu = process.usage()?.cpu;
        thread::sleep(quiet);
        let cpu = process.usage()?.cpu.saturating_sub(cpu);
        let held = Self::of(&process)?;
        process.interrupt()?;
        let _ = fs::remove_file(records);
        Ok(FleetRow { counting, answers, cpu, quiet, held })
    }

    /// Returns what a process holds.
    pub(super) fn of(process: &Process) -> Result<Self> {
        let (mut descriptors, mut maps, mut links, mut map_bytes) = (0, 0, 0, 0);
        let directory = format!("/proc/{}/fdinfo", process.id());
        for entry in fs::read_dir(&directory).with_context(|| format!("read {directory}"))? {
            // It may have been closed meanwhile.
            let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
            let number = |name: &str| -> Option<u64> {
                info.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
            };
            descriptors += 1;
            links += usize::from(info.contains("link_type:"));
            if number("map_type:").is_some() {
                maps += 1;
                map_bytes += number("memlock:").unwrap_or(0);
            }
        }
        let resident_kib = process.usage()?.resident_kib;
        Ok(Self { resident_kib, descriptors, maps, links, map_bytes })
    }
}

impl fmt::Display for HeldResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, maps, links, .. } = self;
        let resident = f64::from(self.resident_kib) / 1024.0;
        write!(
            f,
            "{resident:.1} MiB resident, {descriptors} descriptors, {maps} maps, {links} links"
        )
    }
}

impl fmt::Display for FleetRow {
    #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} | {:.2} | {:.1} | {:.0} | {:.1} | {}",
            self.counting.as_secs_f64(),
            self.answers.as_secs_f64(),
            f64::from(self.held.resident_kib) / 1024.0,
            self.held.map_bytes as f64 / f64::from(1 << 20),
            self.cpu.as_secs_f64() / self.quiet.as_secs_f64() * 100.0,
            self.held.descriptors
        )
    }
}
