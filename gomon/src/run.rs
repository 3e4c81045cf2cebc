//! One run: where settings, source, core and sinks meet.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail};
use gomon_common::Address;

use crate::core::{
    Calibration, Clock, Engine, Selection, Sources, Tally, Timestamp, Verdict, WindowCounts,
    WindowReport,
};
use crate::frame::Frame;
use crate::settings::{EveTarget, Settings};
use crate::sink::artifacts::Artifacts;
use crate::sink::console::{self, Progress, Summary};
use crate::sink::eve::{self, Eve, Output};
use crate::source::replay::{Input, Reader, Replay};
use crate::source::{Receiver, Stop};

/// Where the kernel lists network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// A run that can start: its input and its outputs are open.
pub struct Run {
    settings: Settings,
    source: Source,
    size: Option<u64>,
    stop: Stop,
    eve: Option<Eve>,
    artifacts: Option<Artifacts>,
}

/// An input, as far as it can be opened without waiting for somebody else.
enum Source {
    /// A plain file, looked into.
    Reader(Reader),
    /// A FIFO or standard input, whose first bytes may be long in coming.
    Stream(Input),
}

impl Run {
    /// Opens the input and the outputs.
    ///
    /// # Errors
    ///
    /// When one of them can't be opened. Nothing was started then.
    pub fn prepare(settings: Settings) -> Result<Self> {
        console::start_log(settings.log_level);
        if settings.deprecated_mode_flag {
            log::warn!("--destination-rate-mode is deprecated: use --scan-detection-mode");
        }
        let stop = Stop::on_signals().context("listening to signals")?;
        let name = settings.input.display().to_string();
        let opening = || format!("opening input {name:?}");
        let input = open(&settings.input, stop.clone()).with_context(opening)?;
        let size = input.size();
        let source = match size {
            Some(_) => Source::Reader(Reader::new(input).map_err(hint).with_context(opening)?),
            None => Source::Stream(input),
        };
        let eve = if settings.calibrate {
            None
        } else {
            let output = match &settings.eve {
                EveTarget::Stdout => Output::stdout(),
                EveTarget::File(path) => Output::file(path),
                EveTarget::Socket(path) => Output::socket(path),
            }?;
            Some(Eve::new(&settings, eve::Input::Capture(name), output))
        };
        let artifacts = match settings.save_packets {
            0 => None,
            _ if settings.calibrate => None,
            packets => {
                let sample = settings.sample_id.as_deref();
                Some(Artifacts::new(&settings.capture_dir, sample, packets)?)
            }
        };
        Ok(Self { settings, source, size, stop, eve, artifacts })
    }

    /// Runs to the end. Whatever fails on the way, all that can be done is done; the failures come
    /// back in the order in which they are to be told.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings, source, size, stop, eve, artifacts } = self;
        if !settings.quiet {
            console::show_configuration(&settings);
        }
        let progress = Progress::new(&settings, size);
        let mut policy = settings.policy.clone();
        let calibration = settings.calibrate.then(Calibration::default);
        if settings.calibrate {
            policy = Calibration::policy(&policy);
        }
        let mut pipeline = Pipeline {
            panes: policy.panes() as u64,
            pane: 0,
            engine: Engine::new(policy),
            eve,
            artifacts,
            calibration,
            progress,
            summary: Summary::default(),
        };

        let name = settings.input.display().to_string();
        let reading = || format!("reading {name:?}");
        let selection = Selection::new(settings.sources.clone(), settings.ignored());
        let tally = Tally::new(selection, settings.max_destinations);
        let clock =
            Clock::new(settings.policy.step_nanoseconds(), settings.policy.window_nanoseconds());
        let reader = match source {
            Source::Reader(reader) => Ok(reader),
            Source::Stream(input) => Reader::new(input),
        };
        let outcome = reader
            .and_then(|reader| Replay::new(clock, tally).run(reader, &stop, &mut pipeline))
            .with_context(reading)
            .map_err(|error| anyhow!("{error:#}: all that could be read was analysed"));

        let mut failures = Vec::from_iter(outcome.err().filter(|_| !stop.is_requested()));
        failures.extend(pipeline.finish(&settings));
        failures
    }
}

/// Opens what `path` names.
fn open(path: &Path, stop: Stop) -> Result<Input> {
    if path.as_os_str() == "-" {
        return Input::open(path, stop);
    }
    match fs::metadata(path) {
        // No file can have such a name, or none has.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
            ) => {}
        _ => return Input::open(path, stop).map_err(hint),
    }
    let mut interfaces: Vec<_> = fs::read_dir(INTERFACES)
        .map(|entries| entries.flatten().map(|e| e.file_name().display().to_string()).collect())
        .unwrap_or_default();
    interfaces.sort_unstable();
    if interfaces.iter().any(|name| *name == path.display().to_string()) {
        bail!("it is an interface, and this version reads captures only: name a capture file");
    }
    bail!(
        "there is neither a file nor an interface of that name: name a capture file, or one of the \
         interfaces {}",
        interfaces.join(", ")
    );
}

/// Says what to do about an input that is there and can't be opened.
fn hint(error: Error) -> Error {
    match error.downcast_ref::<io::Error>() {
        Some(_) => anyhow!("{error:#}: make it readable, or name another capture"),
        None => error,
    }
}

/// Takes panes from the source and hands the engine's answers to the sinks.
struct Pipeline {
    /// Panes in a window, and the number of the open one.
    panes: u64,
    pane: u64,
    engine: Engine,
    eve: Option<Eve>,
    artifacts: Option<Artifacts>,
    calibration: Option<Calibration>,
    progress: Progress,
    summary: Summary,
}

impl Pipeline {
    fn report(&mut self, report: &WindowReport) {
        self.summary.idle += if report.is_idle() { report.windows } else { 0 };
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { .. } => self.summary.attacks += 1,
                Verdict::VerticalScan { .. } | Verdict::Scan { .. } => self.summary.scans += 1,
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
        if let Some(calibration) = &mut self.calibration {
            calibration.enter(report);
            console::log_calibration(report, calibration);
        }
        let written = self.artifacts.as_mut().map(|artifacts| artifacts.report(report));
        if let Some(eve) = &mut self.eve {
            eve.report(report, |verdict| {
                written.as_ref()?.path(verdict).map(|path| path.display().to_string())
            });
        }
    }

    /// Performs reports, moves on by `panes`, and says whether anybody still listens.
    fn perform(&mut self, reports: &[WindowReport], panes: u64) -> ControlFlow<()> {
        for report in reports {
            self.report(report);
        }
        self.pane += panes;
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.advance(panes);
            // The next window to be judged starts so many panes before the one now open.
            artifacts.forget_before((self.pane + 1).saturating_sub(self.panes));
        }
        if self.eve.as_mut().is_some_and(|eve| eve.output().is_closed()) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Ends the run, and tells what it came to.
    fn finish(mut self, settings: &Settings) -> Vec<Error> {
        let mut reports = Vec::new();
        self.engine.finish(&mut |report| reports.push(report));
        let _ = self.perform(&reports, 0);
        self.progress.finish();

        let summary = &mut self.summary;
        if summary.ledger.counted == 0
            && summary.ledger.not_from_bot > 0
            && let Sources::Bot { first, .. } = &settings.sources
        {
            log::warn!("not one packet counted: is {first} the bot's address?");
        }
        summary.captures = self.artifacts.as_ref().map_or(0, Artifacts::saved);
        match &self.calibration {
            Some(calibration) => summary.show_calibration(calibration),
            None => summary.show(&console::eve_name(&settings.eve)),
        }
        let mut failures = Vec::new();
        if let Some(eve) = &mut self.eve {
            failures.extend(eve.output().outcome().err());
        }
        let failed = self.artifacts.as_ref().map_or(0, Artifacts::failed);
        if failed > 0 {
            let directory = settings.capture_dir.display().to_string();
            failures.push(anyhow!(
                "saving captures in {directory:?}: {failed} file(s) could not be written: see the \
                 log above, and make room or name another directory"
            ));
        }
        failures
    }
}

impl Receiver for Pipeline {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.summary.ledger += &counts.ledger;
        let overflow = counts.overflow.endpoints.packets;
        self.summary.overflow_packets += overflow;
        if overflow > 0 {
            log::warn!(
                "{overflow} packets of a window went to more destinations than are counted each on \
                 its own: raise --max-destinations"
            );
        }
        let mut reports = Vec::new();
        self.engine.pane(counts, &mut |report| reports.push(report));
        self.perform(&reports, 1)
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        let mut reports = Vec::new();
        self.engine.silence(start, panes, &mut |report| reports.push(report));
        self.perform(&reports, panes)
    }

    fn wants_packets(&self) -> bool {
        self.artifacts.is_some()
    }

    fn packet(&mut self, host: Address, known: bool, frame: &Frame<'_>) {
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.packet(host, known, frame);
        }
    }

    fn progress(&mut self, frames: u64, bytes: u64) {
        self.progress.enter(frames, bytes);
    }
}
