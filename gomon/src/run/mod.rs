//! One run: where settings, source, core and sinks meet.

mod input;
mod listing;
mod pipeline;

use std::fmt;
use std::io;
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use gomon_common::kernel::{MAX_IGNORED, MAX_SOURCES};
use rustix::fs::{FileType, Stat, fstat, stat};

pub use self::listing::Listing;

use self::input::{Named, hint};
use self::pipeline::Pipeline;
use crate::core::{BotMac, PacketFilter, PaneClock, Tally};
use crate::settings::{Attach, EveTarget, Settings};
use crate::sink::artifacts::Artifacts;
use crate::sink::console::{self, Progress};
use crate::sink::eve::{self, Ended, Eve, Output, WhenFull};
use crate::source::live::{self, AttachMode, CounterConfig, FALLBACK_ORDER, Live};
use crate::source::replay::{Incomplete, Input, Reader, Replay, Rereader};
use crate::source::{PacketSink as _, Stop};

/// The failure of a run whose input is damaged: all before that was analysed, and is no failure beside
/// it.
#[derive(Debug)]
pub struct Damaged(String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// A run that can start: its input and its outputs are open.
pub struct Run {
    settings: Settings,
    source: OpenSource,
    size: Option<u64>,
    stop: Stop,
    eve: Option<Eve>,
    artifacts: Option<Artifacts>,
}

/// An input, as far as it can be opened without waiting for somebody else.
enum OpenSource {
    /// A plain file, looked into.
    Reader(Box<Reader>),
    /// A FIFO or standard input, whose first bytes may be long in coming.
    Stream(Input),
    /// An interface, and the ways to attach to it.
    Interface(String, Vec<AttachMode>),
}

impl OpenSource {
    /// A capture that was opened; a file is looked into.
    fn of_capture(input: Input) -> Result<Self> {
        if input.size().is_none() {
            return Ok(Self::Stream(input));
        }
        Ok(Self::Reader(Box::new(Reader::new(input).map_err(hint)?)))
    }
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
        if settings.die_with_parent {
            stop.when_the_parent_ends().context("watching the parent process")?;
        }
        let name = settings.input.display().to_string();
        let opening = || format!("opening input {name:?}");
        let mut size = None;
        let mut source = match input::find(&settings.input, stop.clone()).with_context(opening)? {
            Named::Interface(name) => {
                let modes = modes(&settings).with_context(opening)?;
                OpenSource::Interface(name, modes)
            }
            Named::Capture(input) => {
                size = input.size();
                OpenSource::of_capture(input).with_context(opening)?
            }
        };
        let eve = if settings.calibrate {
            None
        } else {
            if is_input(&settings.eve, &settings.input) {
                let eve = settings.eve.to_string();
                bail!("opening EVE file {eve:?}: it is the input: name another file");
            }
            let (input, when_full) = match &source {
                OpenSource::Interface(..) => (eve::InputName::Interface(name), WhenFull::Lose),
                OpenSource::Reader(_) | OpenSource::Stream(_) => {
                    let stop = stop.clone();
                    let is_stopped = Box::new(move || stop.is_requested());
                    (eve::InputName::Capture(name), WhenFull::Wait(is_stopped))
                }
            };
            let stop_reading = stop.clone();
            let on_close = move || stop_reading.request();
            let output = Output::open(&settings.eve, settings.eve_fresh, when_full, on_close)?;
            stop.on_hangup(output.reopener());
            Some(Eve::new(&settings, input, output))
        };
        let artifacts = match settings.save_packets {
            0 => None,
            _ if settings.calibrate => None,
            packets => {
                let sample = settings.sample_id.as_deref();
                let mut artifacts = Artifacts::new(&settings.capture_dir, sample, packets)?;
                if let Some(mut rereader) = rereader(&settings, &mut source) {
                    let filter = selection(&settings);
                    artifacts = artifacts
                        .reread_with(move |visitor| rereader.visit_closed_pane(&filter, visitor));
                }
                Some(artifacts)
            }
        };
        Ok(Self { settings, source, size, stop, eve, artifacts })
    }

    /// Runs to the end. Whatever fails on the way, all that can be done is done; the failures come
    /// back in the order in which they are to be told, that of the input as [`Damaged`] where it is that.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings, source, size, stop, eve, artifacts } = self;
        if !settings.quiet {
            console::show_configuration(&settings);
        }
        let progress = match source {
            OpenSource::Interface(..) => Progress::none(),
            OpenSource::Reader(_) | OpenSource::Stream(_) => Progress::new(&settings, size),
        };
        let mut pipeline = Pipeline::new(&settings, eve, artifacts, progress);
        let is_live = matches!(source, OpenSource::Interface(..));
        let outcome = match source {
            OpenSource::Interface(name, modes) => {
                match attach(&settings, &name, &modes, pipeline.wants_packets()) {
                    Ok(live) => {
                        console::never_wait();
                        count(live, &settings, &stop, &mut pipeline)
                    }
                    // Nothing was started, so there is nothing to sum up.
                    Err(error) => return vec![error],
                }
            }
            OpenSource::Reader(reader) => replay(&settings, *reader, &stop, &mut pipeline),
            OpenSource::Stream(input) => Reader::new(input)
                .with_context(|| {
                    format!("opening input {:?}", settings.input.display().to_string())
                })
                .and_then(|reader| replay(&settings, reader, &stop, &mut pipeline)),
        };
        let ended = match &outcome {
            _ if stop.is_requested() => Ended::Stopped,
            Err(_) => Ended::Failed,
            Ok(()) if is_live => Ended::InterfaceGone,
            Ok(()) => Ended::EndOfInput,
        };
        let mut failures = Vec::from_iter(outcome.err().filter(|_| ended != Ended::Stopped));
        failures.extend(pipeline.finish(&settings, ended));
        failures
    }
}

/// Reads a capture to its end.
fn replay(settings: &Settings, reader: Reader, stop: &Stop, pipeline: &mut Pipeline) -> Result<()> {
    let tally = tally(settings, settings.bot_mac);
    let policy = &settings.policy;
    let clock = PaneClock::new(policy.step_nanoseconds(), policy.window_nanoseconds());
    Replay::new(clock, tally)
        .run(reader, stop, pipeline)
        .map_err(|incomplete| of_input(settings, incomplete, "was analysed"))
}

/// The failure of an input that could not be read to its end, of which all else was `done`.
fn of_input(settings: &Settings, incomplete: Incomplete, done: &str) -> Error {
    let input = settings.input.display().to_string();
    let text = |error| format!("reading {input:?}: {error:#}: all that could be read {done}");
    match incomplete {
        Incomplete::Damaged(error) => Damaged(text(error)).into(),
        Incomplete::Missing(error) => Error::msg(text(error)),
    }
}

/// Returns what rereads packets, so that they need not be retained, if the capture can be reread and windows do
/// not overlap.
fn rereader(settings: &Settings, source: &mut OpenSource) -> Option<Rereader> {
    let OpenSource::Reader(reader) = source else { return None };
    // The sender of the first frame, which may determine the bot's MAC address, is unknown when rereading.
    let is_possible = settings.policy.panes() == 1 && settings.bot_mac.is_none();
    if is_possible { reader.take_rereader() } else { None }
}

/// The packets that the settings choose.
fn selection(settings: &Settings) -> PacketFilter {
    PacketFilter::new(settings.sources.clone(), settings.ignored_ranges())
}

/// Counts what the settings ask for, of frames with the bot's MAC address.
fn tally(settings: &Settings, bot_mac: Option<BotMac>) -> Tally {
    Tally::new(selection(settings).sent_by(bot_mac), settings.max_destinations)
}

/// Has the kernel count what the settings ask for on `interface`.
fn attach(
    settings: &Settings,
    interface: &str,
    modes: &[AttachMode],
    artifacts: bool,
) -> Result<Live> {
    // What comes in at a tap is the bot's: nothing has to be found out.
    let bot_mac = settings.bot_mac.filter(|bot_mac| *bot_mac != BotMac::First);
    let selected = CounterConfig {
        sources: settings.sources.clone(),
        bot_mac,
        ignored: settings.ignored_prefixes(),
        capacity: u32::try_from(settings.max_destinations).unwrap_or(u32::MAX),
        packets: if artifacts {
            u32::try_from(settings.save_packets).unwrap_or(u32::MAX)
        } else {
            0
        },
        sweeps: settings.policy.sweep_hosts.is_some() && !settings.calibrate,
    };
    Live::attach(interface, modes, &selected, tally(settings, bot_mac))
        .with_context(|| format!("attaching to {interface}"))
}

/// Counts on an interface until it goes or the run is stopped.
fn count(live: Live, settings: &Settings, stop: &Stop, pipeline: &mut Pipeline) -> Result<()> {
    log::info!("attached by {live}");
    pipeline.attached(live.to_string());
    live.run(settings.policy.step, stop, pipeline)
        .with_context(|| format!("counting on {:?}", settings.input.display().to_string()))
}

/// The ways of attaching that are asked for.
fn modes(settings: &Settings) -> Result<Vec<AttachMode>> {
    ensure!(
        settings.policy.step >= live::SHORTEST_PANE,
        "reading --step or --window: less than the {} an interface needs: give more",
        humantime::format_duration(live::SHORTEST_PANE)
    );
    ensure!(
        settings.max_destinations <= live::MAX_DESTINATIONS,
        "reading --max-destinations: more than {}, the most for an interface: give less",
        live::MAX_DESTINATIONS
    );
    let (prefixes, addresses) =
        (settings.ignored_prefixes().len(), settings.sources.addresses().count());
    ensure!(
        prefixes < MAX_IGNORED && addresses <= MAX_SOURCES,
        "reading --ignore-dst and SRC_IP: more than {MAX_IGNORED} prefixes or {MAX_SOURCES} \
         addresses: give fewer"
    );
    Ok(match settings.attach {
        Attach::Auto => FALLBACK_ORDER.to_vec(),
        Attach::Xdp => vec![AttachMode::Xdp],
        Attach::XdpGeneric => vec![AttachMode::XdpGeneric],
        Attach::Tc => vec![AttachMode::Tcx, AttachMode::Clsact],
        Attach::Pcap => vec![AttachMode::Pcap],
    })
}

/// Whether records would go into the file that is read, by whatever name.
fn is_input(eve: &EveTarget, input: &Path) -> bool {
    let file = |stat: rustix::io::Result<Stat>| {
        let stat = stat.ok().filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())?;
        Some((stat.st_dev, stat.st_ino))
    };
    let eve = match eve {
        EveTarget::Stdout => file(fstat(io::stdout())),
        EveTarget::File(path) => file(stat(path)),
        EveTarget::Socket(_) => None,
    };
    let input = if input.as_os_str() == "-" { fstat(io::stdin()) } else { stat(input) };
    eve.is_some() && eve == file(input)
}
