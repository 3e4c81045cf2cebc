//! Packets that come up by several ways, each in its own time, put back into the order of time.

use std::ops::ControlFlow;

use crate::core::{Timestamp, WindowCounts};
use crate::frame::{Frame, KeptFrame, RemoteHosts};
use crate::source::PaneSink;

/// Packets that wait until no earlier one can come any more.
#[derive(Default)]
pub(super) struct Waiting(Vec<(RemoteHosts, KeptFrame)>);

impl Waiting {
    /// Hands on what was captured before `time`, in order.
    pub(super) fn hand_on(&mut self, time: Timestamp, receiver: &mut impl PaneSink) {
        // Frames of one time stay in the order they came in.
        self.0.sort_by_key(|(_, frame)| frame.frame().time);
        let later = self.0.partition_point(|(_, frame)| frame.frame().time < Some(time));
        for (hosts, frame) in self.0.drain(..later) {
            receiver.packet(hosts, &frame.frame());
        }
    }

    /// Has a packet wait here.
    pub(super) fn push(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.0.push((hosts, frame.keep()));
    }

    /// Moves the times of packets that wait by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.0.iter_mut().for_each(|(_, frame)| frame.move_time(by));
    }

    /// A receiver that has packets wait here, and hands everything else on to `receiver`.
    pub(super) fn before<'a, R>(&'a mut self, receiver: &'a mut R) -> Before<'a, R> {
        Before { waiting: self, receiver }
    }
}

/// See [`Waiting::before`].
pub(super) struct Before<'a, R> {
    waiting: &'a mut Waiting,
    receiver: &'a mut R,
}

impl<R: PaneSink> PaneSink for Before<'_, R> {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.receiver.pane(counts)
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        self.receiver.silence(start, panes)
    }

    fn wants_packets(&self) -> bool {
        self.receiver.wants_packets()
    }

    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.waiting.push(hosts, frame);
    }

    fn packets_lost(&mut self, packets: u64) {
        self.receiver.packets_lost(packets);
    }

    fn progress(&mut self, frames: u64, bytes: u64) {
        self.receiver.progress(frames, bytes);
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::LinkType;

    use super::*;
    use crate::frame::FrameLink;

    /// Keeps the first byte of each packet.
    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl PaneSink for Bytes {
        fn pane(&mut self, _: WindowCounts) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn wants_packets(&self) -> bool {
            true
        }

        fn packet(&mut self, _: RemoteHosts, frame: &Frame<'_>) {
            self.0.push(frame.data[0]);
        }

        fn packets_lost(&mut self, _: u64) {}

        fn progress(&mut self, _: u64, _: u64) {}
    }

    #[test]
    fn packets_are_handed_on_in_the_order_of_time_up_to_a_point_of_it() {
        let (mut waiting, mut received) = (Waiting::default(), Bytes::default());
        for (time, byte) in [(30, 3), (10, 1), (40, 5), (20, 2), (30, 4), (50, 6)] {
            let frame = Frame {
                time: Some(Timestamp::from_nanoseconds(time)),
                link: FrameLink::Known(LinkType::Ethernet),
                length: 1,
                data: &[byte],
            };
            waiting.before(&mut received).packet([None; 2], &frame);
        }
        waiting.hand_on(Timestamp::from_nanoseconds(40), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4]);
        // Those that wait go along with a clock that is set.
        waiting.clock_set(-40);
        waiting.hand_on(Timestamp::from_nanoseconds(10), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4, 5]);
        waiting.hand_on(Timestamp::from_nanoseconds(11), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4, 5, 6]);
    }
}
