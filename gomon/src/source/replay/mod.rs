//! Replay: a capture file, counted frame by frame on the clock of its timestamps.

mod again;
mod ahead;
mod compression;
mod input;
pub(super) mod libpcap;
mod pcapng;
mod plain;
mod reader;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Result, anyhow};
use gomon_common::{LinkType, Skip};

pub use again::Again;
pub use compression::Compression;
pub use input::Input;
pub use libpcap::Pcap;
pub use pcapng::Pcapng;
pub use plain::Plain;
pub use reader::{Each, Reader};

use super::{Receiver, Stop, quick};
use crate::core::{Clock, Place, Tally, Timestamp};
use crate::frame::{Frame, FrameLink, KeptFrame};

/// A frame that waits for the next one.
struct Held {
    time: Timestamp,
    frame: KeptFrame,
    position: u64,
}

/// Counts the frames of a capture and hands the panes on.
pub struct Replay {
    clock: Clock,
    tally: Tally,
    /// A frame whose timestamp is far ahead, until the next one shows whether to believe it.
    held: Option<Held>,
    /// Frames of link types that can't be looked into, by type.
    unsupported: BTreeMap<u32, u64>,
}

impl Replay {
    /// A replay that counts with `tally` in the panes of `clock`.
    #[must_use]
    pub fn new(clock: Clock, tally: Tally) -> Self {
        Self { clock, tally, held: None, unsupported: BTreeMap::new() }
    }

    /// Reads to the end, to the stop request, or to where the capture is damaged. The last pane is
    /// handed on in each case.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, or frames had to be left out.
    pub fn run(
        mut self,
        mut reader: Reader,
        stop: &Stop,
        receiver: &mut impl Receiver,
    ) -> Result<()> {
        let mut frames = 0;
        receiver.starts_at(reader.position());
        let outcome = loop {
            let mut counting = Counting::new(&mut self, receiver);
            let more = reader.frames(&mut counting);
            frames += counting.frames;
            match more {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                // A stop may cut a stream anywhere; that is no damage.
                Err(_) if stop.is_requested() => break Ok(()),
                Err(error) => break Err(error),
            }
            receiver.progress(frames, reader.position());
            if stop.take_status_request() {
                receiver.status(self.tally.ledger());
            }
            if stop.is_requested() {
                break Ok(());
            }
        };
        if let Some(held) = self.held.take() {
            self.tally.ledger_mut().wild += 1;
            self.count(&held.frame.frame(), receiver);
        }
        let span = self.clock.pane();
        if frames > 0 {
            receiver.starts_at(reader.position());
            // The receiver may have broken off already; what it does with the last pane is its own.
            let _ = receiver.pane(self.tally.take(span));
        }
        receiver.progress(frames, reader.position());
        outcome.and_then(|()| self.left_out())
    }

    /// Whether a frame of the open pane has only to be counted: nobody wants packets, and no frame waits
    /// for the next.
    fn may_be_quick(&self, receiver: &impl Receiver) -> bool {
        !receiver.wants_packets() && self.held.is_none()
    }

    /// Puts a frame into the pane where it belongs, as far as anybody can say.
    #[inline(never)]
    fn frame(
        &mut self,
        frame: Frame<'_>,
        position: u64,
        receiver: &mut impl Receiver,
    ) -> ControlFlow<()> {
        if let Some(held) = self.held.take() {
            self.settle(&held, frame.time, receiver)?;
        }
        match self.clock.place(frame.time) {
            Place::Current => {}
            Place::Late => self.tally.ledger_mut().late += 1,
            Place::Ahead(panes) => self.advance(panes, position, receiver)?,
            Place::Wild => {
                self.held = frame.time.map(|time| Held { time, frame: frame.keep(), position });
                return ControlFlow::Continue(());
            }
        }
        self.count(&frame, receiver);
        ControlFlow::Continue(())
    }

    /// Counts a held frame where the timestamp `next` of the frame after it shows that it belongs.
    #[cold]
    fn settle(
        &mut self,
        held: &Held,
        next: Option<Timestamp>,
        receiver: &mut impl Receiver,
    ) -> ControlFlow<()> {
        if self.clock.confirms(held.time, next) {
            self.advance(self.clock.panes_to(held.time), held.position, receiver)?;
        } else {
            self.tally.ledger_mut().wild += 1;
        }
        self.count(&held.frame.frame(), receiver);
        ControlFlow::Continue(())
    }

    /// Closes the open pane and moves on to the one `panes` further, which starts with the record at
    /// `position`.
    fn advance(
        &mut self,
        panes: u64,
        position: u64,
        receiver: &mut impl Receiver,
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

    /// Counts a frame in the open pane.
    fn count(&mut self, frame: &Frame<'_>, receiver: &mut impl Receiver) {
        match frame.link {
            FrameLink::Known(link) => super::count(&mut self.tally, link, frame, receiver),
            FrameLink::Unsupported(number) => {
                *self.unsupported.entry(number).or_default() += 1;
                self.tally.skip(Skip::NotIp);
            }
        }
    }

    /// The error for frames that could not be looked into, if there were any.
    fn left_out(&self) -> Result<()> {
        match self.unsupported.first_key_value() {
            None => Ok(()),
            Some((&number, &frames)) => {
                Err(anyhow!("{frames} frame(s) left out: {}", libpcap::unsupported(number)))
            }
        }
    }
}

/// Takes the frames of a reader.
struct Counting<'a, R> {
    replay: &'a mut Replay,
    receiver: &'a mut R,
    /// Whether the quick path may be taken.
    is_quick: bool,
    frames: u64,
}

impl<'a, R: Receiver> Counting<'a, R> {
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
        tally.count_common(&packet, length, time);
    }
}

impl<R: Receiver> Each for Counting<'_, R> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop")]
    fn frame(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()> {
        self.frames += 1;
        // As nearly all are: in the open pane, and of the common kind.
        if self.is_quick
            && let Some(time) = frame.time
            && self.replay.clock.is_current(time)
            && frame.link == FrameLink::Known(LinkType::Ethernet)
            && let Some(packet) = quick::parse(frame.data)
        {
            if !self.replay.tally.count_at_once(&packet, frame.length, time) {
                count_rest(&mut self.replay.tally, frame.data, frame.length, time);
            }
            return ControlFlow::Continue(());
        }
        let flow = self.replay.frame(*frame, position, self.receiver);
        self.is_quick = self.replay.may_be_quick(self.receiver);
        flow
    }
}
