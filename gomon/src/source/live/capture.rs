//! Counting on an interface without the kernel's help: every frame comes up through libpcap, on
//! machines without eBPF or without the rights for it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, bail, ensure};
use gomon_common::{LinkType, Mac, Packet, protocol};
use pcap::{Active, Direction, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::kernel::CounterConfig;
use super::refusal::explain;
use super::reorder::Waiting;
use super::{AttachMode, interface};
use crate::core::{Ledger, Span, Tally, Timestamp, WindowCounts, nanoseconds};
use crate::frame::{Frame, FrameLink, KeptFrame};
use crate::source::replay::libpcap::{message, unsupported};
use crate::source::{PaneSink, Stop, count, hand_on, read, wall};

/// Bytes kept of a frame: all of it, as tcpdump does.
const SNAP_LENGTH: i32 = 262_144;
/// What the kernel's buffer takes, in bytes: room for eighty thousand of the smallest frames. It is
/// mapped here, and so a part of this process's memory.
const BUFFER: i32 = 16 << 20;
/// The same for the other direction, of which nothing is counted.
const SMALL_BUFFER: i32 = 8 << 20;
/// How long the kernel may keep frames back, in milliseconds, to hand on many at once. As often as
/// that a quarter of a megabyte of its buffer is used up, for however few frames.
const RETENTION: i32 = 20;
/// After so long it keeps nothing back from before: that takes twice the time above, and two ticks of
/// its clock, of which there are a hundred a second at least.
const CAPTURE_LATENCY: Duration = Duration::from_millis(70);
/// The longest that closing a pane takes, whatever the wall clock does meanwhile.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often to look for what is still handed on of an interface that is gone.
const AFTERWARDS: Duration = Duration::from_millis(5);
/// Frames between two looks at the clock and at signals.
const BATCH: usize = 4096;

/// Counts what libpcap reads from an interface.
pub(super) struct PcapCounter {
    link: LinkType,
    tally: Tally,
    /// What comes in through the interface, as XDP and TC see it.
    incoming: CaptureHandle,
    /// What goes out, for artifacts and for answers: it is not counted, and not in the ledger.
    outgoing: Option<CaptureHandle>,
    /// Answers to the bot that the packets they answer may not have been read before, by time.
    answers: VecDeque<(Timestamp, Packet)>,
    /// Whether what goes out is wanted for artifacts.
    packets: bool,
    /// Packets of both directions that may not be in order yet.
    waiting: Waiting,
    /// Frames read, for the log.
    frames: u64,
    /// Why nothing more can be read, and since when. That is so, too, when the interface goes, which
    /// may be told here a little before it is told to all.
    failed: Option<(String, Instant)>,
}

/// Hands every frame that comes in on `interface` to `each`, for so long at most, and until the stop is
/// requested or the interface goes.
///
/// # Errors
///
/// When libpcap can't capture there, or not in a form that gomon can look into.
pub fn listen(
    interface: &str,
    time: Duration,
    stop: &Stop,
    mut each: impl FnMut(LinkType, &Frame<'_>),
) -> Result<()> {
    let tap = CaptureHandle::open(interface, Direction::In, BUFFER);
    let mut tap = tap.map_err(|error| explain(error, interface, Some(AttachMode::Pcap), None))?;
    let (link, end) = (tap.link()?, Instant::now() + time);
    let mut closed = None;
    loop {
        match tap.read(link, closed.map(|(closed, _)| closed), |frame| each(link, frame)) {
            Ok(End::Batch) => {}
            Ok(End::Dry) => match closed {
                None => {
                    stop.wait_until(&[tap.capture.as_fd()], end)?;
                }
                Some((_, settled)) if Instant::now() >= settled => return Ok(()),
                Some((_, settled)) => wait([&tap], settled - Instant::now()),
            },
            Ok(End::Later) => return Ok(()),
            Err(_) if interface::number(interface).is_none() => return Ok(()),
            Err(error) => bail!("{}", message(&error)),
        }
        if closed.is_none() && (stop.is_requested() || Instant::now() >= end) {
            // The kernel may still keep back what was captured until now.
            closed = Some((wall::now(), Instant::now() + CAPTURE_LATENCY));
        }
    }
}

/// Waits until there are frames to read from one of some directions.
fn wait<'a>(taps: impl IntoIterator<Item = &'a CaptureHandle>, longest: Duration) {
    let fd = |tap: &'a CaptureHandle| PollFd::from_borrowed_fd(tap.capture.as_fd(), PollFlags::IN);
    let mut fds: Vec<_> = taps.into_iter().map(fd).collect();
    // A signal has its turn when what is waited for was read, which is soon.
    let _ = poll(&mut fds, Timespec::try_from(longest).ok().as_ref());
}

/// One direction of an interface.
struct CaptureHandle {
    capture: pcap::Capture<Active>,
    /// The first frame of the pane that is not open yet.
    next: Option<KeptFrame>,
    /// Frames lost so far, by the kernel and by the interface. The numbers run over.
    lost: (u32, u32),
}

/// Why the reading of frames ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There are no more.
    Dry,
    /// It is time to look at the clock.
    Batch,
    /// The next one belongs to the next pane.
    Later,
}

impl PcapCounter {
    /// Starts to capture on `interface`: incoming frames are counted as `config` says, and outgoing ones
    /// are captured too for artifacts and contacts.
    ///
    /// # Errors
    ///
    /// When libpcap can't capture there, or not in a form that gomon can look into.
    pub(super) fn open(interface: &str, config: &CounterConfig) -> Result<Self> {
        let incoming = CaptureHandle::open(interface, Direction::In, BUFFER)?;
        let packets = config.packets_per_host > 0;
        let outgoing = (packets || config.sweeps)
            .then(|| CaptureHandle::open(interface, Direction::Out, SMALL_BUFFER));
        let link = incoming.link()?;
        ensure!(
            Mac::is_in(link) || !config.filter.has_mac_rule(),
            "frames of link type {} do not name their sender: leave --bot-mac out",
            link.number()
        );
        let capacity = usize::try_from(config.capacity).unwrap_or(usize::MAX);
        Ok(Self {
            link,
            tally: Tally::new(config.filter.clone(), capacity),
            incoming,
            outgoing: outgoing.transpose()?,
            answers: VecDeque::new(),
            packets,
            waiting: Waiting::default(),
            frames: 0,
            failed: None,
        })
    }

    /// What there is to read becomes readable here.
    pub(super) fn wakes(&self) -> Vec<BorrowedFd<'_>> {
        let taps = self.taps().filter(|_| self.failed.is_none());
        taps.map(|tap| tap.capture.as_fd()).collect()
    }

    /// How often to read although nothing becomes readable.
    pub(super) fn tick(&self) -> Option<Duration> {
        self.failed.as_ref().map(|_| CLOSE_TIMEOUT)
    }

    /// Counts what was captured, or as much of it as takes no time to speak of.
    ///
    /// # Errors
    ///
    /// When libpcap can't read, and not because the interface goes.
    pub(super) fn read(&mut self, receiver: &mut impl PaneSink) -> Result<()> {
        let before = self.frames;
        self.read_until(None, receiver);
        if self.frames > before {
            log::debug!("{} frames read", self.frames);
        }
        let settled = nanoseconds(CAPTURE_LATENCY);
        let settled = wall::now().after(-settled);
        self.waiting.hand_on(settled, receiver);
        self.enter_answers(settled);
        match &self.failed {
            Some((why, since)) if since.elapsed() >= CLOSE_TIMEOUT => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// The ledger of the open pane, without what is lost, which is known at its end.
    pub(super) fn open_ledger(&self) -> Ledger {
        *self.tally.ledger()
    }

    /// Closes the open pane: counts what was captured until now, what the kernel still keeps back
    /// included. A frame captured later is the first of the next pane; once there is one, nothing is
    /// waited for, so that what goes out can't keep what comes in waiting.
    pub(super) fn close_pane(&mut self, span: Span, receiver: &mut impl PaneSink) -> WindowCounts {
        let (closed, begun) = (wall::now(), Instant::now());
        while begun.elapsed() < CLOSE_TIMEOUT {
            let left = CAPTURE_LATENCY.saturating_sub(begun.elapsed());
            match self.read_until(Some(closed), receiver) {
                End::Later => break,
                End::Dry if left.is_zero() => break,
                End::Dry => self.wait(left),
                End::Batch => {}
            }
        }
        // What comes in for the next pane is not read yet.
        let all = Timestamp::from_nanoseconds(i64::MAX);
        self.waiting.hand_on(all, receiver);
        self.enter_answers(all);
        self.tally.ledger_mut().lost = self.incoming.newly_lost();
        let missed = self.outgoing.as_mut().map_or(0, CaptureHandle::newly_lost);
        if missed > 0 && self.packets {
            receiver.packets_lost(missed);
        }
        let mut counts = self.tally.take(span);
        counts.both_directions |= self.outgoing.is_some();
        if missed > 0 {
            // Answers may be among what was lost: nothing is said of contacts that seem to have none.
            counts
                .contacts
                .retain(|(endpoint, contacts)| !contacts.awaits_reply(endpoint, span.start));
        }
        counts
    }

    /// The wall's clock was set by so many nanoseconds. Frames come with its times as they are.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.tally.clock_set(by);
    }

    /// Enters the answers from before `time`. What they answer was sent earlier, and so was read.
    fn enter_answers(&mut self, time: Timestamp) {
        let earlier = self.answers.partition_point(|(answered, _)| *answered < time);
        for (answered, packet) in self.answers.drain(..earlier) {
            self.tally.answer(&packet, answered);
        }
    }

    fn taps(&self) -> impl Iterator<Item = &CaptureHandle> {
        [&self.incoming].into_iter().chain(&self.outgoing)
    }

    /// Reads both directions, up to the first frame at or after `closed` in each, and says why it ended
    /// with what comes in.
    fn read_until(&mut self, closed: Option<Timestamp>, receiver: &mut impl PaneSink) -> End {
        let Self { link, tally, incoming, outgoing, waiting, answers, packets, frames, failed } =
            self;
        let receiver = &mut waiting.before(receiver);
        let mut latest = None;
        let end = incoming.read(*link, closed, |frame| {
            *frames += 1;
            latest = frame.time;
            // What can't be counted is in the ledger.
            let _ = count(tally, *link, frame, receiver);
        });
        let other = outgoing.as_mut().map_or(Ok(End::Later), |outgoing| {
            // Of what comes in there is more: what goes out may not run ahead of it.
            let until = if end == Ok(End::Batch) { latest } else { closed };
            outgoing.read(*link, until, |frame| {
                if let Ok(packet) = read(*link, frame) {
                    if *packets {
                        hand_on(tally, *link, &packet, frame, receiver);
                    }
                    if packet.destination.protocol() == protocol::UDP {
                        answers.extend(frame.time.map(|time| (time, packet)));
                    }
                }
            })
        });
        match (end, other) {
            // What was captured before the interface went is still there to read, behind the error.
            (Err(error), _) | (_, Err(error)) if failed.is_none() => {
                *failed = Some((message(&error), Instant::now()));
                End::Batch
            }
            // A part of it may not have been handed on by the kernel yet, which it is in time.
            (end, _) => end.unwrap_or(End::Dry),
        }
    }

    /// Waits for more frames, where there are not already some of the next pane.
    fn wait(&self, longest: Duration) {
        if self.failed.is_some() {
            // Waiting for an interface that is gone may come back at once.
            return thread::sleep(longest.min(AFTERWARDS));
        }
        wait(self.taps().filter(|tap| tap.next.is_none()), longest);
    }
}

impl CaptureHandle {
    fn open(interface: &str, direction: Direction, buffer: i32) -> Result<Self> {
        let refused = |error: pcap::Error| -> Error { anyhow!("{}", message(&error)) };
        let capture = pcap::Capture::from_device(interface)
            .map_err(refused)?
            .snaplen(SNAP_LENGTH)
            .buffer_size(buffer)
            // Immediate mode has one slot a frame, each as large as the largest frame.
            .timeout(RETENTION)
            .precision(Precision::Nano)
            .promisc(false)
            .open()
            .and_then(pcap::Capture::setnonblock)
            .map_err(refused)?;
        // libpcap looks at the direction of each frame itself. A filter in the kernel would be faster,
        // but what is captured while it is put in place is judged by libpcap, which then finds no
        // direction in it and drops it.
        capture.direction(direction).map_err(refused)?;
        Ok(Self { capture, next: None, lost: (0, 0) })
    }

    /// What its frames start with.
    fn link(&self) -> Result<LinkType> {
        let pcap::Linktype(number) = self.capture.get_datalink();
        let number = number.unsigned_abs();
        LinkType::from_number(number).ok_or_else(|| anyhow!(unsupported(number)))
    }

    /// Reads frames, [`BATCH`] at most, up to the first one at or after `closed`, which is read the
    /// next time.
    fn read(
        &mut self,
        link: LinkType,
        closed: Option<Timestamp>,
        mut frame: impl FnMut(&Frame<'_>),
    ) -> Result<End, pcap::Error> {
        let later = |frame: &Frame<'_>| closed.is_some_and(|closed| frame.time >= Some(closed));
        if let Some(next) = self.next.take() {
            if later(&next.frame()) {
                self.next = Some(next);
                return Ok(End::Later);
            }
            frame(&next.frame());
        }
        for _ in 0..BATCH {
            let packet = match self.capture.next_packet() {
                Ok(packet) => packet,
                Err(pcap::Error::TimeoutExpired) => return Ok(End::Dry),
                Err(error) => return Err(error),
            };
            // With nanosecond precision libpcap keeps nanoseconds in `tv_usec`.
            let time = packet.header.ts;
            let this = Frame {
                time: Some(Timestamp::from_parts(time.tv_sec, time.tv_usec)),
                link: FrameLink::Known(link),
                length: packet.header.len,
                data: packet.data,
            };
            if later(&this) {
                self.next = Some(this.keep());
                return Ok(End::Later);
            }
            frame(&this);
        }
        Ok(End::Batch)
    }

    /// Frames lost since the last time.
    fn newly_lost(&mut self) -> u64 {
        let Ok(stat) = self.capture.stats() else { return 0 };
        let (kernel, interface) = self.lost;
        self.lost = (stat.dropped, stat.if_dropped);
        u64::from(stat.dropped.wrapping_sub(kernel))
            + u64::from(stat.if_dropped.wrapping_sub(interface))
    }
}
