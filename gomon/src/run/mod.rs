//! One run: connects settings, source, core and sinks.

pub(crate) mod attach;
mod failure;
mod input;
mod listing;
mod live;
pub(crate) mod pipeline;
pub(crate) mod progress;
pub(crate) mod sink_queue;
pub(crate) mod sinks;

use std::io;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use rustix::fs::{FileType, Stat, fstat, stat};

pub use self::failure::Damaged;
pub use self::listing::Listing;

use self::failure::{incomplete_input, opening};
use self::input::OpenInput;
use self::pipeline::{Outlet, Pipeline};
use self::sinks::BotSinks;
use crate::core::{PaneClock, Tally};
use crate::settings::{BotSettings, EveTarget, RunMode, Settings};
use crate::sink::artifacts::Artifacts;
use crate::sink::console::{self, Progress};
use crate::sink::eve::{EndReason, EveTargets, InputName, OverflowPolicy};
use crate::source::Stop;
use crate::source::replay::{Reader, Replay};

/// A run that is ready to start: its input and its outputs are open.
pub struct Run {
    settings: Settings,
    input: OpenInput,
    stop: Stop,
    sinks: BotSinks,
    artifacts: Option<Artifacts>,
}

impl Run {
    /// Opens the input and the outputs.
    ///
    /// # Errors
    ///
    /// When one of them can't be opened. Nothing was started then.
    pub fn prepare(settings: Settings) -> Result<Self> {
        let Settings { process, bot, warnings } = &settings;
        console::start_log(process.log_level);
        for warning in warnings {
            log::warn!("{warning}");
        }
        let stop = Stop::on_signals().context("listening to signals")?;
        if process.die_with_parent {
            stop.stop_with_parent().context("watching the parent process")?;
        }
        let input = OpenInput::open(&bot.input, stop.clone())?;
        if let OpenInput::Interface(_) = input {
            attach::attach_modes(bot).with_context(|| opening(&bot.input))?;
        }
        let (mut sinks, mut artifacts) = (BotSinks::none(), None);
        if process.mode != RunMode::Calibrate {
            sinks = open_sinks(bot, &input, &stop)?;
            if bot.save_packets > 0 {
                artifacts = Some(Artifacts::new(bot.save_packets));
            }
        }
        Ok(Self { settings, input, stop, sinks, artifacts })
    }

    /// Runs to the end. After a failure, the windows so far are still judged, and all outputs are written and closed.
    /// Returns the failures in the order in which to report them; damage of the input is [`Damaged`].
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings, input, stop, sinks, artifacts } = self;
        if !settings.process.quiet {
            console::show_configuration(&settings.configuration());
        }
        let Settings { process, bot, .. } = settings;
        let is_live = matches!(input, OpenInput::Interface(_));
        let progress = if is_live || process.quiet {
            Progress::none()
        } else {
            Progress::new(input.size(), sinks.has_records() && bot.eve.target.is_stdout())
        };
        if is_live {
            return live::count(bot, process.mode, sinks, stop);
        }
        let outlet = Outlet::Direct(Box::new(sinks));
        let mut pipeline = Pipeline::new(&bot, process.mode, artifacts, progress, outlet);
        let outcome = match input {
            OpenInput::Interface(_) => Ok(()),
            OpenInput::File { reader, .. } => replay(&bot, *reader, &stop, &mut pipeline),
            OpenInput::Stream(input) => Reader::new(input)
                .with_context(|| opening(&bot.input))
                .and_then(|reader| replay(&bot, reader, &stop, &mut pipeline)),
        };
        let reason = match &outcome {
            _ if stop.is_requested() => EndReason::Stopped,
            Err(_) => EndReason::Failed,
            Ok(()) => EndReason::EndOfInput,
        };
        let mut failures = Vec::from_iter(outcome.err().filter(|_| reason != EndReason::Stopped));
        failures.extend(pipeline.finish(reason));
        failures
    }
}

/// Opens the outputs.
fn open_sinks(bot: &BotSettings, input: &OpenInput, stop: &Stop) -> Result<BotSinks> {
    if is_input(&bot.eve.target, &bot.input) {
        let name = bot.eve.target.to_string();
        bail!("opening EVE file {name:?}: it is the input: name another file");
    }
    let name = bot.input.display().to_string();
    let (input, on_overflow) = match input {
        OpenInput::Interface(_) => (InputName::Interface(name), OverflowPolicy::Drop),
        OpenInput::File { .. } | OpenInput::Stream(_) => {
            let stop = stop.clone();
            let is_stopped = Box::new(move || stop.is_requested());
            (InputName::Capture(name), OverflowPolicy::Block(is_stopped))
        }
    };
    let stop_reading = stop.clone();
    let on_close = move || stop_reading.request();
    let targets = EveTargets::default();
    let sinks = BotSinks::open(bot, input, &targets, on_overflow, on_close)?;
    stop.on_hangup(move || targets.reopen());
    Ok(sinks)
}

/// Reads a capture to its end.
fn replay(
    bot: &BotSettings,
    mut reader: Reader,
    stop: &Stop,
    pipeline: &mut Pipeline,
) -> Result<()> {
    // Rereading does not know the sender of the first frame, which may determine the bot's MAC address.
    let can_reread = bot.policy.panes() == 1 && bot.bot_mac.is_none();
    if pipeline.saves_packets()
        && can_reread
        && let Some(mut rereader) = reader.take_rereader(bot.save_packets)
    {
        let filter = bot.packet_filter();
        pipeline.reread_with(move |visitor| rereader.visit_closed_pane(&filter, visitor));
    }
    let filter = bot.packet_filter().with_bot_mac(bot.bot_mac);
    let clock = PaneClock::new(bot.policy.step_nanoseconds(), bot.policy.window_nanoseconds());
    Replay::new(clock, Tally::new(filter, bot.max_destinations))
        .run(reader, stop, pipeline)
        .map_err(|incomplete| incomplete_input(&bot.input, incomplete, "was analysed"))
}

/// Whether records would be written to the file that is read, even if it is given by another name.
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
