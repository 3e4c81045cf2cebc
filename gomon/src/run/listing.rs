//! Listing who sends, instead of counting what one bot sends.

use anyhow::{Context, Error, Result, anyhow};

use super::input::{self, Named};
use super::{OpenSource, of_input};
use crate::core::Talkers;
use crate::settings::Settings;
use crate::sink::console::{self, Progress};
use crate::sink::talkers;
use crate::source::replay::Reader;
use crate::source::{Stop, listing};

/// Sources that are listed, each with its hardware address. At 4 KiB each where they have many
/// destinations, this bounds memory to some 20 MiB.
const SOURCES: usize = 4096;

/// A list that can be made: its input is open.
pub struct Listing {
    settings: Settings,
    source: OpenSource,
    size: Option<u64>,
    stop: Stop,
}

impl Listing {
    /// Opens the input.
    ///
    /// # Errors
    ///
    /// When it can't be opened. Nothing was started then.
    pub fn prepare(settings: Settings) -> Result<Self> {
        console::start_log(settings.log_level);
        let stop = Stop::on_signals().context("listening to signals")?;
        let opening = || opening(&settings);
        let mut size = None;
        let source = match input::find(&settings.input, stop.clone()).with_context(opening)? {
            Named::Interface(name) => OpenSource::Interface(name, Vec::new()),
            Named::Capture(input) => {
                size = input.size();
                OpenSource::of_capture(input).with_context(opening)?
            }
        };
        Ok(Self { settings, source, size, stop })
    }

    /// Makes the list and shows it. Whatever fails on the way, all that could be read is in it; where that
    /// is nothing, no list is shown.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { settings, source, size, stop } = self;
        let mut talkers = Talkers::new(SOURCES);
        let mut read = |reader| {
            let progress = Progress::new(&settings, size);
            let enter = |frames, bytes| progress.enter(frames, bytes);
            let outcome = listing::record_capture(reader, &stop, &mut talkers, enter);
            progress.finish();
            outcome.map_err(|incomplete| of_input(&settings, incomplete, "is listed"))
        };
        let outcome = match source {
            OpenSource::Reader(reader) => read(*reader),
            OpenSource::Stream(input) => {
                Reader::new(input).with_context(|| opening(&settings)).and_then(read)
            }
            OpenSource::Interface(name, _) => {
                let time = settings.policy.window;
                log::info!("listening on {name} for {}", humantime::format_duration(time));
                listing::record_interface(&name, time, &stop, &mut talkers)
                    .with_context(|| format!("listening on {name}"))
            }
        };
        let mut failures = Vec::from_iter(outcome.err().filter(|_| !stop.is_requested()));
        if !failures.is_empty() && talkers.ledger().seen() == 0 {
            return failures;
        }
        let shown = talkers::show(&talkers);
        failures.extend(
            shown.err().map(|error| anyhow!("writing to standard output: {error}: make room")),
        );
        failures
    }
}

fn opening(settings: &Settings) -> String {
    format!("opening input {:?}", settings.input.display().to_string())
}
