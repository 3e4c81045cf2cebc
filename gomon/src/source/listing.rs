//! Lists the sources of the packets of a capture or of an interface.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use gomon_common::{LinkType, Mac, Skip};

use super::counting::parse_frame;
use super::live;
use super::replay::{Incomplete, Reader, unsupported_frames};
use super::stop::Stop;
use crate::core::Talkers;
use crate::frame::{Frame, FrameLink};

/// Records the sources of all packets of a capture, until its end, a stop request, or damage. Calls `progress` with the frames and bytes read so far.
///
/// # Errors
///
/// When the capture is damaged, or has frames of an unsupported link type.
pub fn record_capture(
    mut reader: Reader,
    stop: &Stop,
    talkers: &mut Talkers,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Incomplete> {
    let mut unsupported = BTreeMap::new();
    loop {
        reader.set_deadline(None);
        let more = reader.read_batch(&mut |frame: &Frame<'_>, _position| {
            match frame.link {
                FrameLink::Known(link) => record(talkers, link, frame),
                FrameLink::Unsupported(number) => {
                    *unsupported.entry(number).or_default() += 1;
                    talkers.skip(Skip::NotIp);
                }
            }
            ControlFlow::Continue(())
        });
        progress(talkers.ledger().seen(), reader.bytes_read());
        match more {
            // A stop request may end a stream at any byte, which is not damage.
            _ if stop.is_requested() => break,
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(error) => return Err(Incomplete::from_read_error(error)),
        }
    }
    unsupported_frames(&unsupported).map_or(Ok(()), |error| Err(Incomplete::Missing(error)))
}

/// Records the sources of all packets that an interface receives, for at most `time`, until the stop is requested or
/// the interface is removed.
///
/// # Errors
///
/// When libpcap can't capture on the interface.
pub fn record_interface(
    interface: &str,
    time: Duration,
    stop: &Stop,
    talkers: &mut Talkers,
) -> Result<()> {
    live::listen(interface, time, stop, |link, frame| record(talkers, link, frame))
}

fn record(talkers: &mut Talkers, link: LinkType, frame: &Frame<'_>) {
    match parse_frame(link, frame) {
        Ok(packet) => {
            talkers.record(&packet, Mac::of_sender(link, frame.data), frame.length, frame.time);
        }
        Err(skip) => talkers.skip(skip),
    }
}
