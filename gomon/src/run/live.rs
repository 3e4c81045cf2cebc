//! Counting on one interface: a fleet of one bot.

use std::time::Duration;

use anyhow::{Context, Error};
use tokio::runtime;

use super::sink_queue::SinkQueue;
use super::sinks::BotSinks;
use crate::fleet::counting::{self, BotEnd, BotId, BotStart};
use crate::settings::{BotSettings, RunMode};
use crate::sink::console;
use crate::source::Stop;

/// The only bot.
const BOT: BotId = BotId(0);

/// Counts until the interface is removed or the run is stopped. Returns the failures.
pub(super) fn count(
    bot: BotSettings,
    run_mode: RunMode,
    sinks: BotSinks,
    stop: Stop,
) -> Vec<Error> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = match runtime.context("starting the runtime") {
        Ok(runtime) => runtime,
        Err(error) => return vec![error],
    };
    let counted = runtime.block_on(async {
        let (counting, _events) = counting::start(1, stop).context("watching the interface")?;
        let queue = SinkQueue::start(sinks);
        let (settings, pane_offset) = (bot, Duration::ZERO);
        let start = BotStart { settings, run_mode, queue, pane_offset, is_alone: true };
        let (_attached, end) = counting.start_bot(BOT, start).await?;
        console::drop_lines_when_full();
        let end = end.await.context("the counting thread failed")?;
        counting.stop().await;
        Ok::<_, Error>(end)
    });
    // An artifact that the disk does not accept is not waited for.
    runtime.shutdown_background();
    match counted {
        Ok(BotEnd { failures, .. }) => failures,
        // Nothing was counted, so there is no summary.
        Err(error) => vec![error],
    }
}
