//! One run: connects settings, source, core and sinks.

mod failure;
mod input;
mod listing;
mod live;
mod pipeline;

use std::io;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use rustix::fs::{FileType, Stat, fstat, stat};

pub use self::failure::Damaged;
pub use self::listing::Listing;

use self::failure::{incomplete_input, opening};
use self::input::OpenInput;
use self::pipeline::{Pipeline, PipelineConfig, Sinks};
use crate::core::{PaneClock, Tally};
use crate::settings::{BotSettings, EveTarget, RunMode, Settings};
use crate::sink::artifacts::Artifacts;
use crate::sink::console::{self, Progress};
use crate::sink::eve::{EndReason, Eve, EveConfig, InputName, Output, OverflowPolicy};
use crate::source::Stop;
use crate::source::live::AttachMode;
use crate::source::replay::{Reader, Replay};

/// A run that is ready to start: its input and its outputs are open.
pub struct Run {
    settings: Settings,
    input: OpenInput,
    /// The attach modes to try, in order; empty for a capture.
    attach_modes: Vec<AttachMode>,
    stop: Stop,
    eve: Option<Eve>,
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
        let attach_modes = match input {
            OpenInput::Interface(_) => {
                live::attach_modes(bot).with_context(|| opening(&bot.input))?
            }
            OpenInput::File { .. } | OpenInput::Stream(_) => Vec::new(),
        };
        let (mut eve, mut artifacts) = (None, None);
        if process.mode != RunMode::Calibrate {
            eve = Some(open_eve(bot, &input, &stop)?);
            if bot.save_packets > 0 {
                let sample = bot.sample_id.as_deref();
                artifacts = Some(Artifacts::new(&bot.capture_dir, sample, bot.save_packets)?);
            }
        }
        Ok(Self { settings, input, attach_modes, stop, eve, artifacts })
    }

    /// Runs to the end. After a failure, the windows so far are still judged, and all outputs are written and closed.
    /// Returns the failures in the order in which to report them; damage of the input is [`Damaged`].
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings, input, attach_modes, stop, eve, artifacts } = self;
        if !settings.process.quiet {
            console::show_configuration(&settings.configuration());
        }
        let Settings { process, bot, .. } = settings;
        let is_live = matches!(input, OpenInput::Interface(_));
        let progress = if is_live || process.quiet {
            Progress::none()
        } else {
            Progress::new(input.size(), eve.is_some() && bot.eve.target.is_stdout())
        };
        let config = PipelineConfig {
            sources: bot.sources.clone(),
            bot_mac: bot.bot_mac_text(),
            policy: bot.policy.clone(),
            calibrate: process.mode == RunMode::Calibrate,
            capture_dir: bot.capture_dir.clone(),
        };
        let mut pipeline = Pipeline::new(config, Sinks { eve, artifacts, progress });
        let outcome = match input {
            OpenInput::Interface(name) => {
                match live::attach(&bot, process.mode, &name, &attach_modes) {
                    Ok(live) => {
                        console::drop_lines_when_full();
                        live::count(live, &bot, &stop, &mut pipeline)
                    }
                    // Nothing was counted, so there is no summary.
                    Err(error) => return vec![error],
                }
            }
            OpenInput::File { reader, .. } => replay(&bot, *reader, &stop, &mut pipeline),
            OpenInput::Stream(input) => Reader::new(input)
                .with_context(|| opening(&bot.input))
                .and_then(|reader| replay(&bot, reader, &stop, &mut pipeline)),
        };
        let reason = match &outcome {
            _ if stop.is_requested() => EndReason::Stopped,
            Err(_) => EndReason::Failed,
            Ok(()) if is_live => EndReason::InterfaceGone,
            Ok(()) => EndReason::EndOfInput,
        };
        let mut failures = Vec::from_iter(outcome.err().filter(|_| reason != EndReason::Stopped));
        failures.extend(pipeline.finish(reason));
        failures
    }
}

/// Opens the output for records.
fn open_eve(bot: &BotSettings, input: &OpenInput, stop: &Stop) -> Result<Eve> {
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
    let output = Output::open(&bot.eve.target, bot.eve.fresh, on_overflow, on_close)?;
    stop.on_hangup(output.reopener());
    let config = EveConfig {
        input,
        sources: bot.sources.clone(),
        sensor_name: bot.sensor_name.clone(),
        sample_id: bot.sample_id.clone(),
        c2_ip: bot.c2_ip.clone(),
        policy: bot.policy.clone(),
        strict: bot.eve.strict,
        connections: bot.eve.connections,
        show_idle: bot.eve.show_idle,
        stats: bot.eve.stats,
    };
    Ok(Eve::new(config, output))
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
