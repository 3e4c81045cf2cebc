//! Replay: counts a capture frame by frame, in panes of its timestamps.

mod compression;
mod concatenated;
mod format;
mod incomplete;
mod index;
mod input;
pub(super) mod libpcap;
mod opaque;
mod pace;
mod pcapng;
mod plain;
mod read_ahead;
mod reader;
mod recent;
mod reread;
mod visitor;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Error, anyhow};
use gomon_common::{LinkType, Mac, Skip};

pub use compression::Compression;
pub use incomplete::Incomplete;
pub use input::Input;
pub use libpcap::Pcap;
pub use pcapng::Pcapng;
pub use plain::Plain;
pub use reader::Reader;
pub use reread::Rereader;
pub use visitor::FrameVisitor;

use self::index::Checkpoint;
use self::opaque::OpaqueLayers;
use self::pace::Pace;
use super::counting::{count, parse_frame, pass_on, try_count_fast};
use super::pane_sink::PaneSink;
use super::stop::Stop;
use super::wall::ClockReading;
use crate::core::{
    Lookahead, PaneClock, PanePosition, Tally, Timestamp, UnconfirmedFrames, WindowCounts, seconds,
};
use crate::frame::{Frame, FrameLink, OwnedFrame};

/// Counts the frames of a capture and passes the panes on.
pub struct Replay {
    clock: PaneClock,
    tally: Tally,
    /// Frames with unconfirmed timestamps, each with the position of its record.
    unconfirmed: UnconfirmedFrames<(OwnedFrame, Checkpoint)>,
    /// The time of the last packet read.
    latest: Timestamp,
    /// What rereads the capture, if it is reread. Its index is maintained here.
    rereader: Option<Rereader>,
    /// Whether it was logged that the clock was set back.
    is_step_logged: bool,
    /// Whether panes of a stream are closed by wall-clock time, and the end of the last one that was.
    follows_wall: bool,
    closed_by_wall: Option<Timestamp>,
    /// Frames of unsupported link types, by number.
    unsupported: BTreeMap<u32, u64>,
    opaque: OpaqueLayers,
    /// With `--bot-mac`, frames without the sender's MAC address, by link type.
    without_mac: BTreeMap<LinkType, u64>,
}

impl Replay {
    /// Creates a replay that counts with `tally` in the panes of `clock`.
    #[must_use]
    pub fn new(clock: PaneClock, tally: Tally) -> Self {
        Self {
            clock,
            tally,
            unconfirmed: UnconfirmedFrames::default(),
            latest: Timestamp::default(),
            rereader: None,
            is_step_logged: false,
            follows_wall: true,
            closed_by_wall: None,
            unsupported: BTreeMap::new(),
            opaque: OpaqueLayers::default(),
            without_mac: BTreeMap::new(),
        }
    }

    /// Reads to the end, to the stop request, or to where the capture is damaged. The last pane is passed on in
    /// each case.
    ///
    /// # Errors
    ///
    /// When the capture is damaged or can't be read, or has frames that can't be parsed or attributed.
    pub fn run(
        mut self,
        mut reader: Reader,
        stop: &Stop,
        sink: &mut impl PaneSink,
    ) -> Result<(), Incomplete> {
        let mut frames = 0;
        let mut pace = reader.is_stream().then(|| Pace::new(self.clock.window()));
        if let Some(waker) = reader.waker() {
            stop.on_status(waker);
        }
        self.rereader = reader.rereader();
        if let Some(rereader) = &self.rereader {
            rereader.index().open_pane_at(self.checkpoint(reader.position()));
        }
        let outcome = loop {
            let has_unconfirmed = !self.unconfirmed.is_empty();
            let open = self.clock.pane();
            let deadline = pace.as_ref().and_then(|pace| pace.deadline(has_unconfirmed, open));
            reader.set_deadline(deadline);
            let mut counter = FrameCounter::new(&mut self, sink);
            let more = reader.read_batch(&mut counter);
            let arrived = counter.frames;
            frames += arrived;
            match more {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                // A stop request may cut a stream at any byte, which is not damage.
                Err(_) if stop.is_requested() => break Ok(()),
                Err(error) => break Err(Incomplete::from_read_error(error)),
            }
            self.index_batch(reader.position(), sink);
            sink.progress(frames, reader.bytes_read());
            if stop.take_status_request() {
                sink.status(self.tally.ledger());
            }
            if stop.is_requested() {
                break Ok(());
            }
            if let Some(pace) = &mut pace
                && (arrived > 0 || reader.timed_out())
                && self.follow_wall(pace, arrived > 0, reader.position(), sink).is_break()
            {
                break Ok(());
            }
        };
        // The sink may have broken before; it gets the last panes all the same.
        let _ = self.count_confirmed(Lookahead::End, sink);
        let span = self.clock.pane();
        if frames > 0 {
            if frames > 1 && self.clock.timestamps_are_constant() {
                sink.timestamps_are_constant();
            }
            let counts = self.tally.close_pane(span);
            let _ = self.close_pane(counts, self.checkpoint(reader.position()), sink);
        }
        sink.progress(frames, reader.bytes_read());
        self.opaque.log(frames);
        let missing = unsupported_frames(&self.unsupported).or_else(|| self.frames_without_mac());
        match (outcome, missing) {
            (outcome, None) => outcome,
            (Ok(()), Some(missing)) => Err(Incomplete::Missing(missing)),
            (Err(Incomplete::Damaged(error) | Incomplete::Missing(error)), Some(missing)) => {
                Err(Incomplete::Missing(anyhow!("{error:#}; {missing}")))
            }
        }
    }

    /// Whether [`try_count_fast`] may count the frames of the open pane: their bytes are needed neither by the
    /// sink nor for the sender's MAC address, and no earlier frame is held back.
    fn allows_fast_path(&self, sink: &impl PaneSink) -> bool {
        !sink.needs_packets() && self.unconfirmed.is_empty() && !self.tally.filter().has_mac_rule()
    }

    /// Counts a frame in the pane of its timestamp, or holds it back until that is confirmed.
    #[inline(never)]
    fn frame(
        &mut self,
        frame: Frame<'_>,
        position: u64,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        // The time of a record without bytes is ignored: in some captures it is 0.
        let time = frame.time.filter(|_| !frame.data.is_empty());
        let start = self.checkpoint(position);
        if let Some(pane) = self.unconfirmed.locate(time, &mut self.clock) {
            if self.count_at(pane, &frame, start, sink)? {
                self.latest = frame.time.unwrap_or(self.latest);
            }
            return ControlFlow::Continue(());
        }
        if let FrameLink::Known(link) = frame.link
            && parse_frame(link, &frame).is_ok()
        {
            self.latest = frame.time.unwrap_or(self.latest);
        }
        self.unconfirmed.push(time, (frame.to_owned_frame(), start));
        self.count_confirmed(Lookahead::More, sink)
    }

    /// Returns a checkpoint at `position`, up to which all records were read.
    fn checkpoint(&self, position: u64) -> Checkpoint {
        Checkpoint { position, latest: self.latest }
    }

    /// Returns where the first record is that was not counted, if all before `position` were read.
    fn counted_up_to(&self, position: u64) -> Checkpoint {
        self.unconfirmed.first().map_or(self.checkpoint(position), |(_, start)| *start)
    }

    /// Adds the batch that ends at `position` to the index. When too many bytes of a stream are kept, `sink` stores
    /// the packets in them.
    fn index_batch(&mut self, position: u64, sink: &mut impl PaneSink) {
        let Some(mut rereader) = self.rereader.take() else { return };
        rereader.index().add_checkpoint(self.checkpoint(position));
        if rereader.is_full() {
            let tally = &self.tally;
            let stored = rereader.take_open_pane(
                self.counted_up_to(position),
                |link, packet, frame| {
                    tally.filter().remote_hosts_of_frame(packet, link, frame.data)
                },
                &mut |link, packet, frame| pass_on(tally, link, packet, frame, sink),
            );
            if let Err(error) = stored {
                sink.packets_failed(&error);
            }
        }
        self.rereader = Some(rereader);
    }

    /// Counts the held-back frames whose pane is known by now.
    #[cold]
    fn count_confirmed(
        &mut self,
        lookahead: Lookahead,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        while let Some((pane, (frame, start))) = self.unconfirmed.pop(&mut self.clock, lookahead) {
            self.count_at(pane, &frame.frame(), start, sink)?;
        }
        ControlFlow::Continue(())
    }

    /// Counts a frame, whose record is at `start`, at a pane position, after closing panes if necessary. Returns
    /// whether it has a packet.
    fn count_at(
        &mut self,
        pane: PanePosition,
        frame: &Frame<'_>,
        start: Checkpoint,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<(), bool> {
        match pane {
            PanePosition::Current => {}
            PanePosition::Late => self.tally.ledger_mut().late += 1,
            PanePosition::Implausible | PanePosition::Unconfirmed => {
                self.tally.ledger_mut().implausible += 1;
            }
            PanePosition::Ahead(panes) => self.advance(panes, start, sink)?,
            PanePosition::SetBack(time) => self.set_back(time, start, sink)?,
        }
        ControlFlow::Continue(self.count(frame, sink))
    }

    /// Closes the panes of a live stream that have ended by wall-clock time, unless frames have `arrived`.
    fn follow_wall(
        &mut self,
        pace: &mut Pace,
        arrived: bool,
        position: u64,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        if !self.follows_wall {
            return ControlFlow::Continue(());
        }
        let now = ClockReading::now();
        if arrived {
            pace.frames_arrived(now);
        } else if pace.begins_pause(now.instant) {
            self.count_confirmed(Lookahead::Paused, sink)?;
        }
        if self.unconfirmed.is_empty() {
            pace.classify(self.clock.pane());
        }
        match pace.panes_over(self.clock.pane(), now.instant) {
            panes if panes > 0 && !arrived => {
                pace.panes_closed(now.instant);
                self.advance(panes, self.counted_up_to(position), sink)?;
                self.closed_by_wall = Some(self.clock.pane().start);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// Closes the open pane and opens the one `panes` after it, which starts with the record at `next`.
    fn advance(
        &mut self,
        panes: u64,
        next: Checkpoint,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        let span = self.clock.pane();
        self.clock.advance(panes);
        let counts = self.tally.close_pane(span);
        self.close_pane(counts, next, sink)?;
        if panes > 1 {
            sink.silence(span.end, panes - 1)?;
        }
        ControlFlow::Continue(())
    }

    /// Passes the counts of the open pane, which ends before the record at `next`, on to `sink`, which may reread its
    /// packets meanwhile.
    fn close_pane(
        &mut self,
        counts: WindowCounts,
        next: Checkpoint,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        if let Some(rereader) = &self.rereader {
            rereader.index().close_pane(next);
        }
        let flow = sink.pane(counts);
        if let Some(rereader) = &self.rereader {
            rereader.clear_closed_pane();
        }
        flow
    }

    /// Closes the open pane, during which the clock was set back, and opens the first pane of a new grid, which
    /// starts with the record at `next`.
    #[cold]
    fn set_back(
        &mut self,
        start: Timestamp,
        next: Checkpoint,
        sink: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        let counts = self.tally.close_truncated_pane(self.clock.pane());
        let by = start.since(counts.observed_until());
        if self.follows_wall && self.closed_by_wall.is_some_and(|closed| start < closed) {
            self.follows_wall = false;
            log::warn!(
                "frames arrived {:.1} s late, after their windows were closed as silent: from here on, \
                 windows are closed by frames only: use tcpdump -U, and no buffering program after it",
                seconds(by).abs()
            );
        } else if !std::mem::replace(&mut self.is_step_logged, true) {
            log::warn!(
                "the clock of the capture was set back by about {:.1} s: a new grid of windows starts \
                 there; further steps are not logged",
                seconds(by).abs()
            );
        }
        self.tally.clock_set(by);
        self.clock.set_back(start);
        self.close_pane(counts, next, sink)?;
        sink.clock_set(by)
    }

    /// Returns the error for frames without the sender's MAC address, if there were any.
    fn frames_without_mac(&self) -> Option<Error> {
        let (link, frames) = self.without_mac.first_key_value()?;
        Some(anyhow!(
            "{frames} frame(s) counted as not from the bot: frames of link type {} do not name their \
             sender: leave --bot-mac out",
            link.number()
        ))
    }

    /// Counts a frame in the open pane. Returns whether it has a packet.
    fn count(&mut self, frame: &Frame<'_>, sink: &mut impl PaneSink) -> bool {
        match frame.link {
            FrameLink::Known(link) => {
                if self.tally.filter().has_mac_rule() && !Mac::is_in(link) {
                    *self.without_mac.entry(link).or_default() += 1;
                }
                match count(&mut self.tally, link, frame, sink) {
                    Ok(packet) if OpaqueLayers::may_be_incomplete(&packet) => {
                        let is_from_bot = self.tally.filter().is_from_bot(&packet)
                            && self.tally.filter().is_sent_by_bot(link, frame.data);
                        if is_from_bot {
                            self.opaque.add_packet(link, frame, &packet);
                        }
                        true
                    }
                    Ok(_) => true,
                    Err(skip) => {
                        self.opaque.add_skipped(link, frame, skip);
                        false
                    }
                }
            }
            FrameLink::Unsupported(number) => {
                *self.unsupported.entry(number).or_default() += 1;
                self.tally.skip(Skip::NotIp);
                false
            }
        }
    }
}

/// Returns the error for frames of unsupported link types, if there were any.
pub(super) fn unsupported_frames(unsupported: &BTreeMap<u32, u64>) -> Option<Error> {
    let (&number, &frames) = unsupported.first_key_value()?;
    Some(anyhow!("{frames} frame(s) left out: {}", libpcap::unsupported(number)))
}

/// Counts the frames of a reader.
struct FrameCounter<'a, S> {
    replay: &'a mut Replay,
    sink: &'a mut S,
    /// Whether [`try_count_fast`] may count frames of the open pane.
    is_fast: bool,
    frames: u64,
}

impl<'a, S: PaneSink> FrameCounter<'a, S> {
    fn new(replay: &'a mut Replay, sink: &'a mut S) -> Self {
        let is_fast = replay.allows_fast_path(sink);
        Self { replay, sink, is_fast, frames: 0 }
    }
}

impl<S: PaneSink> FrameVisitor for FrameCounter<'_, S> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop")]
    fn visit_fast(&mut self, frame: &Frame<'_>) -> bool {
        if self.is_fast
            && let Some(time) = frame.time
            && self.replay.clock.is_current(time)
            && try_count_fast(&mut self.replay.tally, frame, time)
        {
            self.frames += 1;
            self.replay.latest = time;
            return true;
        }
        false
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "otherwise every frame would be written to memory")]
    fn visit(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()> {
        self.frames += 1;
        let flow = self.replay.frame(*frame, position, self.sink);
        self.is_fast = self.replay.allows_fast_path(self.sink);
        flow
    }
}
