//! Puts packets from several buffers, each in its own order of time, back into one order of time.

use crate::core::Timestamp;
use crate::frame::{Frame, OwnedFrame, RemoteHosts};
use crate::source::PacketSink;

/// Packets that are held back until no earlier packet can arrive.
#[derive(Default)]
pub(super) struct ReorderQueue(Vec<(RemoteHosts, OwnedFrame)>);

impl ReorderQueue {
    /// Passes the packets captured before `time` on to `sink`, in the order of time.
    pub(super) fn release(&mut self, time: Timestamp, sink: &mut impl PacketSink) {
        // The sort is stable: frames with the same time stay in the order of arrival.
        self.0.sort_by_key(|(_, frame)| frame.frame().time);
        let later = self.0.partition_point(|(_, frame)| frame.frame().time < Some(time));
        for (hosts, frame) in self.0.drain(..later) {
            sink.packet(hosts, &frame.frame());
        }
    }

    /// Adds a packet.
    pub(super) fn push(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.0.push((hosts, frame.to_owned_frame()));
    }

    /// Makes the times of the queued packets `by` nanoseconds later.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.0.iter_mut().for_each(|(_, frame)| frame.shift_time(by));
    }

    /// Returns a sink that adds packets to the queue if `sink` wants packets.
    pub(super) fn in_front_of<'a, S>(&'a mut self, sink: &'a S) -> ReorderingSink<'a, S> {
        ReorderingSink { queue: self, sink }
    }
}

/// See [`ReorderQueue::in_front_of`].
pub(super) struct ReorderingSink<'a, S> {
    queue: &'a mut ReorderQueue,
    sink: &'a S,
}

impl<S: PacketSink> PacketSink for ReorderingSink<'_, S> {
    fn needs_packets(&self) -> bool {
        self.sink.needs_packets()
    }

    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.queue.push(hosts, frame);
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::LinkType;

    use super::*;
    use crate::frame::FrameLink;

    /// Records the first byte of each packet.
    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl PacketSink for Bytes {
        fn needs_packets(&self) -> bool {
            true
        }

        fn packet(&mut self, _: RemoteHosts, frame: &Frame<'_>) {
            self.0.push(frame.data[0]);
        }
    }

    #[test]
    fn packets_are_released_in_the_order_of_time_up_to_a_given_time() {
        let (mut queue, mut received) = (ReorderQueue::default(), Bytes::default());
        for (time, byte) in [(30, 3), (10, 1), (40, 5), (20, 2), (30, 4), (50, 6)] {
            let frame = Frame {
                time: Some(Timestamp::from_nanoseconds(time)),
                link: FrameLink::Known(LinkType::Ethernet),
                length: 1,
                data: &[byte],
            };
            queue.in_front_of(&received).packet(RemoteHosts::default(), &frame);
        }
        queue.release(Timestamp::from_nanoseconds(40), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4]);
        // Queued packets move with a clock that is set.
        queue.clock_set(-40);
        queue.release(Timestamp::from_nanoseconds(10), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4, 5]);
        queue.release(Timestamp::from_nanoseconds(11), &mut received);
        assert_eq!(received.0, [1, 2, 3, 4, 5, 6]);
    }
}
