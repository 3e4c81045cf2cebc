//! Replay: a capture file, counted frame by frame on the clock of its timestamps.

mod compression;
mod concatenated;
mod format;
mod incomplete;
mod input;
pub(super) mod libpcap;
mod opaque;
mod pace;
mod pcapng;
mod plain;
mod read_ahead;
mod reader;
mod reread;

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
pub use reader::{FrameVisitor, Reader};
pub use reread::Reread;

use self::opaque::OpaqueLayers;
use self::pace::Pace;
use super::wall::Moment;
use super::{PaneSink, Stop, quick};
use crate::core::{Known, PaneClock, PanePosition, Tally, Timestamp, UnconfirmedFrames, seconds};
use crate::frame::{Frame, FrameLink, KeptFrame};

/// Counts the frames of a capture and hands the panes on.
pub struct Replay {
    clock: PaneClock,
    tally: Tally,
    /// Frames whose timestamps are in doubt, each with where its record starts.
    doubts: UnconfirmedFrames<(KeptFrame, u64)>,
    /// Whether the log has that the clock was set back.
    step_logged: bool,
    /// Whether windows of a stream close by the wall's clock, and up to when they did.
    keeps_pace: bool,
    closed_by_wall: Option<Timestamp>,
    /// Frames of link types that can't be looked into, by type.
    unsupported: BTreeMap<u32, u64>,
    hidden: OpaqueLayers,
    /// With `--bot-mac`, frames that do not name their sender, by link type.
    nameless: BTreeMap<LinkType, u64>,
}

impl Replay {
    /// A replay that counts with `tally` in the panes of `clock`.
    #[must_use]
    pub fn new(clock: PaneClock, tally: Tally) -> Self {
        Self {
            clock,
            tally,
            doubts: UnconfirmedFrames::default(),
            step_logged: false,
            keeps_pace: true,
            closed_by_wall: None,
            unsupported: BTreeMap::new(),
            hidden: OpaqueLayers::default(),
            nameless: BTreeMap::new(),
        }
    }

    /// Reads to the end, to the stop request, or to where the capture is damaged. The last pane is
    /// handed on in each case.
    ///
    /// # Errors
    ///
    /// When the capture is damaged or can't be read, or frames had to be left out.
    pub fn run(
        mut self,
        mut reader: Reader,
        stop: &Stop,
        receiver: &mut impl PaneSink,
    ) -> Result<(), Incomplete> {
        let mut frames = 0;
        let mut pace = reader.is_stream().then(|| Pace::new(self.clock.window()));
        if let Some(waker) = reader.waker() {
            stop.on_status(waker);
        }
        receiver.starts_at(reader.position());
        let outcome = loop {
            let due =
                pace.as_ref().and_then(|pace| pace.due(!self.doubts.is_empty(), self.clock.pane()));
            reader.wait_until(due);
            let mut counting = Counting::new(&mut self, receiver);
            let more = reader.frames(&mut counting);
            let came = counting.frames;
            frames += came;
            match more {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                // A stop may cut a stream anywhere; that is no damage.
                Err(_) if stop.is_requested() => break Ok(()),
                Err(error) => break Err(Incomplete::of_reading(error)),
            }
            receiver.progress(frames, reader.position());
            if stop.take_status_request() {
                receiver.status(self.tally.ledger());
            }
            if stop.is_requested() {
                break Ok(());
            }
            if let Some(pace) = &mut pace
                && (came > 0 || reader.timed_out())
                && self.keep(pace, came > 0, reader.position(), receiver).is_break()
            {
                break Ok(());
            }
        };
        // The receiver may have broken off already; what it does with the last panes is its own.
        let _ = self.settle(Known::All, receiver);
        let span = self.clock.pane();
        if frames > 0 {
            receiver.starts_at(reader.position());
            if frames > 1 && self.clock.stands_still() {
                receiver.stands_still();
            }
            let _ = receiver.pane(self.tally.take(span));
        }
        receiver.progress(frames, reader.position());
        self.hidden.tell(frames);
        let left_out = left_out(&self.unsupported).or_else(|| self.without_sender());
        match (outcome, left_out) {
            (outcome, None) => outcome,
            (Ok(()), Some(left_out)) => Err(Incomplete::Missing(left_out)),
            (Err(Incomplete::Damaged(error) | Incomplete::Missing(error)), Some(left_out)) => {
                Err(Incomplete::Missing(anyhow!("{error:#}; {left_out}")))
            }
        }
    }

    /// Whether a frame of the open pane has only to be counted: packets and senders are not asked for
    /// the frame, and no frame waits for the next.
    fn may_be_quick(&self, receiver: &impl PaneSink) -> bool {
        !receiver.wants_packets()
            && self.doubts.is_empty()
            && !self.tally.selection().has_mac_rule()
    }

    /// Puts a frame into the pane where it belongs, as far as anybody can say.
    #[inline(never)]
    fn frame(
        &mut self,
        frame: Frame<'_>,
        position: u64,
        receiver: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        // A record without bytes tells nothing of when, either: there are such with a time of 0.
        let time = frame.time.filter(|_| !frame.data.is_empty());
        if let Some(place) = self.doubts.place(time, &mut self.clock) {
            return self.enter(place, &frame, position, receiver);
        }
        self.doubts.wait(time, (frame.keep(), position));
        self.settle(Known::SoFar, receiver)
    }

    /// Counts the frames whose timestamps are in doubt no more.
    #[cold]
    fn settle(&mut self, known: Known, receiver: &mut impl PaneSink) -> ControlFlow<()> {
        while let Some((place, (frame, position))) = self.doubts.next(&mut self.clock, known) {
            self.enter(place, &frame.frame(), position, receiver)?;
        }
        ControlFlow::Continue(())
    }

    /// Counts a frame where it belongs.
    fn enter(
        &mut self,
        place: PanePosition,
        frame: &Frame<'_>,
        position: u64,
        receiver: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        match place {
            PanePosition::Current => {}
            PanePosition::Late => self.tally.ledger_mut().late += 1,
            PanePosition::Implausible | PanePosition::Unconfirmed => {
                self.tally.ledger_mut().implausible += 1
            }
            PanePosition::Ahead(panes) => self.advance(panes, position, receiver)?,
            PanePosition::SetBack(start) => self.set_back(start, position, receiver)?,
        }
        self.count(frame, receiver);
        ControlFlow::Continue(())
    }

    /// Follows the wall's clock where a stream's frames do: closes what is over although nothing `came`.
    fn keep(
        &mut self,
        pace: &mut Pace,
        came: bool,
        position: u64,
        receiver: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        if !self.keeps_pace {
            return ControlFlow::Continue(());
        }
        let now = Moment::now();
        if came {
            pace.frames_came(now);
        } else if pace.pauses(now.instant) {
            self.settle(Known::ForNow, receiver)?;
        }
        if self.doubts.is_empty() {
            pace.follow(self.clock.pane());
        }
        match pace.panes_over(self.clock.pane(), now.instant) {
            panes if panes > 0 && !came => {
                pace.closes(now.instant);
                self.advance(panes, position, receiver)?;
                self.closed_by_wall = Some(self.clock.pane().start);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// Closes the open pane and moves on to the one `panes` further, which starts with the record at
    /// `position`.
    fn advance(
        &mut self,
        panes: u64,
        position: u64,
        receiver: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        let span = self.clock.pane();
        self.clock.advance(panes);
        receiver.starts_at(position);
        receiver.pane(self.tally.take(span))?;
        if panes > 1 {
            receiver.silence(span.end, panes - 1)?;
        }
        ControlFlow::Continue(())
    }

    /// Closes the open pane, in which the clock was set back, and opens the first of a new grid, which
    /// starts with the record at `position`.
    #[cold]
    fn set_back(
        &mut self,
        start: Timestamp,
        position: u64,
        receiver: &mut impl PaneSink,
    ) -> ControlFlow<()> {
        let counts = self.tally.take_cut(self.clock.pane());
        let by = start.since(counts.observed_until());
        if self.keeps_pace && self.closed_by_wall.is_some_and(|closed| start < closed) {
            self.keeps_pace = false;
            log::warn!(
                "frames came {:.1} s late, after their windows were closed as silent: windows follow the \
                 frames alone from here on: use tcpdump -U, and nothing that buffers behind it",
                seconds(by).abs()
            );
        } else if !std::mem::replace(&mut self.step_logged, true) {
            log::warn!(
                "the clock of the capture was set back by about {:.1} s: windows start anew there; \
                 further steps are not logged",
                seconds(by).abs()
            );
        }
        self.tally.clock_set(by);
        self.clock.set_back(start);
        receiver.starts_at(position);
        receiver.pane(counts)?;
        receiver.clock_set(by)
    }

    /// The error for frames that can't be told by their sender, if there were any.
    fn without_sender(&self) -> Option<Error> {
        let (link, frames) = self.nameless.first_key_value()?;
        Some(anyhow!(
            "{frames} frame(s) counted as not from the bot: frames of link type {} do not name their \
             sender: leave --bot-mac out",
            link.number()
        ))
    }

    /// Counts a frame in the open pane.
    fn count(&mut self, frame: &Frame<'_>, receiver: &mut impl PaneSink) {
        match frame.link {
            FrameLink::Known(link) => {
                if self.tally.selection().has_mac_rule() && !Mac::is_in(link) {
                    *self.nameless.entry(link).or_default() += 1;
                }
                match super::count(&mut self.tally, link, frame, receiver) {
                    Ok(packet) if OpaqueLayers::concerns(&packet) => {
                        let is_from_bot = self.tally.selection().is_from_bot(&packet)
                            && self.tally.selection().is_sent_by_bot(link, frame.data);
                        if is_from_bot {
                            self.hidden.packet(link, frame, &packet);
                        }
                    }
                    Ok(_) => {}
                    Err(skip) => self.hidden.skipped(link, frame, skip),
                }
            }
            FrameLink::Unsupported(number) => {
                *self.unsupported.entry(number).or_default() += 1;
                self.tally.skip(Skip::NotIp);
            }
        }
    }
}

/// The error for frames that could not be looked into, if there were any: how many, by link type.
pub(super) fn left_out(unsupported: &BTreeMap<u32, u64>) -> Option<Error> {
    let (&number, &frames) = unsupported.first_key_value()?;
    Some(anyhow!("{frames} frame(s) left out: {}", libpcap::unsupported(number)))
}

/// Takes the frames of a reader.
struct Counting<'a, R> {
    replay: &'a mut Replay,
    receiver: &'a mut R,
    /// Whether the quick path may be taken.
    is_quick: bool,
    frames: u64,
}

impl<'a, R: PaneSink> Counting<'a, R> {
    fn new(replay: &'a mut Replay, receiver: &'a mut R) -> Self {
        let is_quick = replay.may_be_quick(receiver);
        Self { replay, receiver, is_quick, frames: 0 }
    }
}

/// Counts a packet of the common kind for which that is not done at once. It is parsed again, since
/// keeping what was parsed would cost those that never come here.
#[inline(never)]
fn count_rest(tally: &mut Tally, data: &[u8], length: u32, time: Timestamp) {
    if let Some(packet) = quick::parse(data) {
        tally.count_v4(&packet, length, time);
    }
}

impl<R: PaneSink> FrameVisitor for Counting<'_, R> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop")]
    fn visit_fast(&mut self, frame: &Frame<'_>) -> bool {
        // As nearly all are: in the open pane, and of the common kind.
        if self.is_quick
            && let Some(time) = frame.time
            && self.replay.clock.is_current(time)
            && frame.link == FrameLink::Known(LinkType::Ethernet)
            && let Some(packet) = quick::parse(frame.data)
        {
            if !self.replay.tally.try_count_cached(&packet, frame.length, time) {
                count_rest(&mut self.replay.tally, frame.data, frame.length, time);
            }
            self.frames += 1;
            return true;
        }
        false
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "else every frame would be written to memory for it")]
    fn frame(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()> {
        self.frames += 1;
        let flow = self.replay.frame(*frame, position, self.receiver);
        self.is_quick = self.replay.may_be_quick(self.receiver);
        flow
    }
}
