//! Counting in user space: libpcap copies every frame to this process. For machines without eBPF or
//! without the capabilities for it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, bail, ensure};
use gomon_common::{LinkType, Mac, Packet, protocol};
use pcap::{Active, Direction, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::attach_error::explain;
use super::config::CounterConfig;
use super::interface;
use super::mode::AttachMode;
use super::reorder::ReorderQueue;
use super::socket_filter::{self, CapturedPart};
use crate::core::{Ledger, Span, Tally, Timestamp, WindowCounts, nanoseconds};
use crate::frame::{Frame, FrameLink, OwnedFrame};
use crate::source::counting::{count, parse_frame, pass_on};
use crate::source::replay::libpcap::{message, unsupported};
use crate::source::wall::{self, ClockReading};
use crate::source::{PaneSink, Stop};

/// The snap length in bytes: whole frames, as tcpdump captures them. The filter of the socket truncates most.
const SNAP_LENGTH: i32 = 262_144;
/// The size of the kernel's buffer for incoming frames in bytes: room for eighty thousand of the smallest
/// frames. It is mapped into this process and counts as its memory.
const INCOMING_BUFFER: i32 = 16 << 20;
/// The size of the kernel's buffer for outgoing frames, which are not counted.
const OUTGOING_BUFFER: i32 = 8 << 20;
/// How long the kernel may hold back frames to deliver many at once, in milliseconds. Each time this
/// expires, a block of a quarter of a megabyte of the buffer is used, even for a single frame.
const BUFFER_TIMEOUT: i32 = 20;
/// The maximum time between capture and delivery of a frame: twice [`BUFFER_TIMEOUT`], and two ticks of the
/// kernel's timer, which has at least a hundred per second.
pub(super) const CAPTURE_LATENCY: Duration = Duration::from_millis(70);
/// The maximum time to close a pane, even if the wall clock is set meanwhile.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum number of frames read between two checks of the clock and of signals.
const BATCH: usize = 4096;

/// Counts the frames that libpcap captures on an interface.
pub(super) struct PcapCounter {
    link: LinkType,
    tally: Tally,
    /// Incoming frames, which are the ones that XDP and TC ingress see.
    incoming: CaptureHandle,
    /// Outgoing frames, for artifacts and replies. They are not counted and not in the ledger.
    outgoing: Option<CaptureHandle>,
    /// UDP packets to the bot, by time. They are held back because the packets they answer may not have
    /// been read yet.
    replies: VecDeque<(Timestamp, Packet)>,
    /// Whether artifacts need the outgoing packets.
    captures_packets: bool,
    /// Packets of both directions that may be out of order.
    waiting: ReorderQueue,
    /// The end of the closed pane, until [`PcapCounter::drain`].
    closed: Option<ClockReading>,
    /// The number of frames read, for the log.
    frames: u64,
    /// The read error and its time. Reading also fails when the interface is removed, which may be
    /// noticed here before the notification arrives.
    failed: Option<(String, Instant)>,
}

/// Calls `handle_frame` for every incoming frame of `interface`, until `time` has passed, a stop is
/// requested, or the interface is removed.
///
/// # Errors
///
/// When libpcap cannot capture on the interface, or its link type is unsupported.
pub fn listen(
    interface: &str,
    time: Duration,
    stop: &Stop,
    mut handle_frame: impl FnMut(LinkType, &Frame<'_>),
) -> Result<()> {
    let part = CapturedPart::Headers;
    let handle = CaptureHandle::open(interface, Direction::In, INCOMING_BUFFER, part);
    let mut handle =
        handle.map_err(|error| explain(error, interface, Some(AttachMode::Pcap), None))?;
    let (link, end) = (handle.link()?, Instant::now() + time);
    let mut closed = None;
    loop {
        let closed_at = closed.map(|(closed, _)| closed);
        match handle.read(link, closed_at, |frame| handle_frame(link, frame)) {
            Ok(ReadEnd::BatchFull) => {}
            Ok(ReadEnd::Drained) => match closed {
                None => {
                    stop.wait_until(&[handle.capture.as_fd()], end)?;
                }
                Some((_, delivered)) if Instant::now() >= delivered => return Ok(()),
                Some((_, delivered)) => wait_readable(&handle, delivered - Instant::now()),
            },
            Ok(ReadEnd::NextPane) => return Ok(()),
            Err(_) if interface::index(interface).is_none() => return Ok(()),
            Err(error) => bail!("{}", message(&error)),
        }
        if closed.is_none() && (stop.is_requested() || Instant::now() >= end) {
            // The kernel may still hold back frames that were captured before now.
            closed = Some((wall::now(), Instant::now() + CAPTURE_LATENCY));
        }
    }
}

/// Waits until the handle is readable, or until the timeout.
fn wait_readable(handle: &CaptureHandle, timeout: Duration) {
    let fd = handle.capture.as_fd();
    // Interruption by a signal is ignored. Signals are handled after the read that follows, which is soon.
    let _ = poll(
        &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
        Timespec::try_from(timeout).ok().as_ref(),
    );
}

/// A libpcap handle for one direction of an interface.
struct CaptureHandle {
    capture: pcap::Capture<Active>,
    /// The first frame of the next pane.
    next: Option<OwnedFrame>,
    /// Frames lost so far, by the kernel and by the interface. These counters wrap around.
    lost: (u32, u32),
}

/// Why reading frames ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadEnd {
    /// No more frames are available.
    Drained,
    /// A [`BATCH`] of frames was read.
    BatchFull,
    /// The next frame belongs to the next pane.
    NextPane,
}

impl PcapCounter {
    /// Starts to capture on `interface`. Incoming frames are counted as `config` says. Outgoing frames
    /// are captured if artifacts or contacts need them.
    ///
    /// # Errors
    ///
    /// When libpcap cannot capture on the interface, or its link type is unsupported.
    pub(super) fn open(interface: &str, config: &CounterConfig) -> Result<Self> {
        let captures_packets = config.packets_per_host > 0;
        // Without artifacts, only UDP replies are needed of the outgoing frames.
        let [incoming_part, outgoing_part] = if captures_packets {
            [CapturedPart::Everything; 2]
        } else {
            [CapturedPart::Headers, CapturedPart::UdpHeaders]
        };
        let incoming =
            CaptureHandle::open(interface, Direction::In, INCOMING_BUFFER, incoming_part)?;
        let outgoing = (captures_packets || config.sweeps).then(|| {
            CaptureHandle::open(interface, Direction::Out, OUTGOING_BUFFER, outgoing_part)
        });
        let link = incoming.link()?;
        ensure!(
            Mac::is_in(link) || !config.filter.has_mac_rule(),
            "frames of link type {} have no source MAC address: omit --bot-mac",
            link.number()
        );
        let capacity = usize::try_from(config.capacity).unwrap_or(usize::MAX);
        Ok(Self {
            link,
            tally: Tally::new(config.filter.clone(), capacity),
            incoming,
            outgoing: outgoing.transpose()?,
            replies: VecDeque::new(),
            captures_packets,
            waiting: ReorderQueue::default(),
            closed: None,
            frames: 0,
            failed: None,
        })
    }

    /// Returns the descriptors to poll: one is readable when [`PcapCounter::read`] has to be called.
    /// A handle that has reached the next pane is polled again after [`PcapCounter::drain`].
    pub(super) fn poll_fds(&self) -> Vec<BorrowedFd<'_>> {
        let handles = self.handles().filter(|_| self.failed.is_none());
        let handles = handles.filter(|handle| self.closed.is_none() || handle.next.is_none());
        handles.map(|handle| handle.capture.as_fd()).collect()
    }

    /// Returns the interval at which to call [`PcapCounter::read`] even if no descriptor is readable.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.failed.as_ref().map(|_| CLOSE_TIMEOUT)
    }

    /// Counts captured frames, a [`BATCH`] per direction at most.
    ///
    /// # Errors
    ///
    /// When libpcap cannot read, and the interface was not removed.
    pub(super) fn read(&mut self, sink: &mut impl PaneSink) -> Result<()> {
        let before = self.frames;
        self.read_until(None, sink);
        if self.frames > before {
            log::debug!("{} frames read", self.frames);
        }
        // All frames from before this time have been read.
        let delivered = wall::now().after(-nanoseconds(CAPTURE_LATENCY));
        self.waiting.release(delivered, sink);
        self.record_replies(delivered);
        match &self.failed {
            Some((why, since)) if since.elapsed() >= CLOSE_TIMEOUT => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// Returns the ledger of the open pane so far. Lost frames are added at the end of the pane.
    pub(super) fn open_ledger(&self) -> Ledger {
        *self.tally.ledger()
    }

    /// Closes the open pane: frames captured from now on are in the next one.
    pub(super) fn swap(&mut self) {
        self.closed = Some(ClockReading::now());
    }

    /// Counts frames captured before the pane was closed. Returns whether these are all: the first later incoming frame
    /// was read, so that outgoing frames cannot prolong this, or [`CAPTURE_LATENCY`] has passed.
    pub(super) fn settle(&mut self, sink: &mut impl PaneSink) -> bool {
        let Some(closed) = self.closed else { return true };
        let elapsed = closed.instant.elapsed();
        match self.read_until(Some(closed.wall), sink) {
            ReadEnd::NextPane => true,
            ReadEnd::Drained => elapsed >= CAPTURE_LATENCY,
            ReadEnd::BatchFull => elapsed >= CLOSE_TIMEOUT,
        }
    }

    /// Returns the counts of the closed pane, which covers `span`. A frame that was read and is later is the first of
    /// the next pane.
    pub(super) fn drain(&mut self, span: Span, sink: &mut impl PaneSink) -> WindowCounts {
        self.closed = None;
        // Packets of the next pane have not been read yet.
        let all = Timestamp::from_nanoseconds(i64::MAX);
        self.waiting.release(all, sink);
        self.record_replies(all);
        self.tally.ledger_mut().lost = self.incoming.newly_lost();
        let missed = self.outgoing.as_mut().map_or(0, CaptureHandle::newly_lost);
        if missed > 0 && self.captures_packets {
            sink.packets_lost(missed);
        }
        let mut counts = self.tally.close_pane(span);
        counts.both_directions |= self.outgoing.is_some();
        if missed > 0 {
            // The lost packets may include replies, so contacts without a reply are not judged.
            counts
                .contacts
                .retain(|(endpoint, contacts)| !contacts.awaits_reply(endpoint, span.start));
        }
        counts
    }

    /// Shifts the times of unanswered contacts by this many nanoseconds. Frames have wall-clock
    /// timestamps already.
    pub(super) fn shift_times(&mut self, by: i64) {
        self.tally.clock_set(by);
    }

    /// Records the replies from before `time`. The packets they answer were captured earlier, and so have
    /// been read.
    fn record_replies(&mut self, time: Timestamp) {
        let earlier = self.replies.partition_point(|(replied, _)| *replied < time);
        for (replied, packet) in self.replies.drain(..earlier) {
            self.tally.record_reply(&packet, replied);
        }
    }

    fn handles(&self) -> impl Iterator<Item = &CaptureHandle> {
        [&self.incoming].into_iter().chain(&self.outgoing)
    }

    /// Reads both directions, each up to the first frame at or after `closed`. Returns why reading
    /// incoming frames ended.
    fn read_until(&mut self, closed: Option<Timestamp>, sink: &mut impl PaneSink) -> ReadEnd {
        let Self {
            link,
            tally,
            incoming,
            outgoing,
            replies,
            captures_packets,
            waiting,
            closed: _,
            frames,
            failed,
        } = self;
        let sink = &mut waiting.in_front_of(sink);
        let mut latest = None;
        let end = incoming.read(*link, closed, |frame| {
            *frames += 1;
            latest = frame.time;
            // Skipped frames are in the ledger.
            let _ = count(tally, *link, frame, sink);
        });
        let outgoing_end = outgoing.as_mut().map_or(Ok(ReadEnd::NextPane), |outgoing| {
            // If there are more incoming frames, outgoing frames must not be read ahead of them.
            let until = if end == Ok(ReadEnd::BatchFull) { latest } else { closed };
            outgoing.read(*link, until, |frame| {
                if let Ok(packet) = parse_frame(*link, frame) {
                    if *captures_packets {
                        pass_on(tally, *link, &packet, frame, sink);
                    }
                    if packet.destination.protocol() == protocol::UDP {
                        replies.extend(frame.time.map(|time| (time, packet)));
                    }
                }
            })
        });
        match (end, outgoing_end) {
            // Frames captured before the interface was removed can still be read after the error.
            (Err(error), _) | (_, Err(error)) if failed.is_none() => {
                *failed = Some((message(&error), Instant::now()));
                ReadEnd::BatchFull
            }
            // The kernel may still hold back some of them. It delivers them within `CAPTURE_LATENCY`.
            (end, _) => end.unwrap_or(ReadEnd::Drained),
        }
    }
}

impl CaptureHandle {
    fn open(
        interface: &str,
        direction: Direction,
        buffer: i32,
        part: CapturedPart,
    ) -> Result<Self> {
        let pcap_error = |error: pcap::Error| -> Error { anyhow!("{}", message(&error)) };
        let capture = pcap::Capture::from_device(interface)
            .map_err(pcap_error)?
            .snaplen(SNAP_LENGTH)
            .buffer_size(buffer)
            // Not immediate mode, in which the buffer has a slot per frame, each as large as the largest
            // frame.
            .timeout(BUFFER_TIMEOUT)
            .precision(Precision::Nano)
            .promisc(false)
            .open()
            .and_then(pcap::Capture::setnonblock)
            .map_err(pcap_error)?;
        // libpcap checks the direction of each frame in user space, which is needed for frames that were
        // captured before the filter was attached.
        capture.direction(direction).map_err(pcap_error)?;
        let handle = Self { capture, next: None, lost: (0, 0) };
        let part = match handle.link() {
            Ok(LinkType::Ethernet) => part,
            _ => CapturedPart::Everything,
        };
        if let Err(error) = socket_filter::attach(&handle.capture, direction, part) {
            log::debug!("{interface}: filtering frames in the kernel: {error}");
        }
        Ok(handle)
    }

    /// Returns the link type of the frames.
    fn link(&self) -> Result<LinkType> {
        let pcap::Linktype(number) = self.capture.get_datalink();
        let number = number.unsigned_abs();
        LinkType::from_number(number).ok_or_else(|| anyhow!(unsupported(number)))
    }

    /// Reads up to [`BATCH`] frames, but stops at the first frame at or after `closed`, which the next
    /// call returns.
    fn read(
        &mut self,
        link: LinkType,
        closed: Option<Timestamp>,
        mut handle_frame: impl FnMut(&Frame<'_>),
    ) -> Result<ReadEnd, pcap::Error> {
        let is_in_next_pane =
            |frame: &Frame<'_>| closed.is_some_and(|closed| frame.time >= Some(closed));
        if let Some(next) = self.next.take() {
            if is_in_next_pane(&next.frame()) {
                self.next = Some(next);
                return Ok(ReadEnd::NextPane);
            }
            handle_frame(&next.frame());
        }
        for _ in 0..BATCH {
            let packet = match self.capture.next_packet() {
                Ok(packet) => packet,
                Err(pcap::Error::TimeoutExpired) => return Ok(ReadEnd::Drained),
                Err(error) => return Err(error),
            };
            // With nanosecond precision, libpcap stores nanoseconds in `tv_usec`.
            let time = packet.header.ts;
            let frame = Frame {
                time: Some(Timestamp::from_parts(time.tv_sec, time.tv_usec)),
                link: FrameLink::Known(link),
                length: packet.header.len,
                data: packet.data,
            };
            if is_in_next_pane(&frame) {
                self.next = Some(frame.to_owned_frame());
                return Ok(ReadEnd::NextPane);
            }
            handle_frame(&frame);
        }
        Ok(ReadEnd::BatchFull)
    }

    /// Returns the number of frames lost since the last call.
    fn newly_lost(&mut self) -> u64 {
        let Ok(stat) = self.capture.stats() else { return 0 };
        let (kernel, interface) = self.lost;
        self.lost = (stat.dropped, stat.if_dropped);
        u64::from(stat.dropped.wrapping_sub(kernel))
            + u64::from(stat.if_dropped.wrapping_sub(interface))
    }
}
