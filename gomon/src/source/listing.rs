//! The frames of a capture or of an interface, looked at for who sent them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use gomon_common::{LinkType, Mac, Skip};

use super::replay::{Incomplete, Reader, left_out};
use super::{Stop, live, read};
use crate::core::Talkers;
use crate::frame::{Frame, FrameLink};

/// Enters every frame of a capture, to its end, to the stop request, or to where it is damaged;
/// `progress` learns of frames and bytes read.
///
/// # Errors
///
/// When the capture is damaged, or frames had to be left out.
pub fn of_capture(
    mut reader: Reader,
    stop: &Stop,
    talkers: &mut Talkers,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Incomplete> {
    let mut unsupported = BTreeMap::new();
    loop {
        reader.wait_until(None);
        let more = reader.frames(&mut |frame: &Frame<'_>, _position| {
            match frame.link {
                FrameLink::Known(link) => enter(talkers, link, frame),
                FrameLink::Unsupported(number) => {
                    *unsupported.entry(number).or_default() += 1;
                    talkers.skip(Skip::NotIp);
                }
            }
            ControlFlow::Continue(())
        });
        progress(talkers.ledger().seen(), reader.position());
        match more {
            // A stop may cut a stream anywhere; that is no damage.
            _ if stop.is_requested() => break,
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(error) => return Err(Incomplete::of_reading(error)),
        }
    }
    left_out(&unsupported).map_or(Ok(()), |error| Err(Incomplete::Missing(error)))
}

/// Enters every frame that comes in on an interface, for so long at most, and until the stop is requested
/// or the interface goes.
///
/// # Errors
///
/// When libpcap can't capture there.
pub fn of_interface(
    interface: &str,
    time: Duration,
    stop: &Stop,
    talkers: &mut Talkers,
) -> Result<()> {
    live::listen(interface, time, stop, |link, frame| enter(talkers, link, frame))
}

fn enter(talkers: &mut Talkers, link: LinkType, frame: &Frame<'_>) {
    match read(link, frame) {
        Ok(packet) => {
            talkers.record(&packet, Mac::of_sender(link, frame.data), frame.length, frame.time);
        }
        Err(skip) => talkers.skip(skip),
    }
}
