//! Classic pcap files, read by libpcap: every magic number, byte order and precision that it supports.
#![expect(unsafe_code, reason = "libpcap takes over a file descriptor")]

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail};
use gomon_common::LinkType;
use pcap::{Capture, Offline, Precision};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::format::FILE_HEADER;
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The requested capacity of the pipe to libpcap, in bytes.
const PIPE_SIZE: usize = 1 << 20;
/// The range of the snap length in the file header, in either byte order.
const SNAP_LENGTH: Range<usize> = 16..20;

/// A classic pcap capture.
pub struct Pcap {
    capture: Capture<Offline>,
    link: LinkType,
    frames: u64,
    /// The result of the thread that writes into the pipe to libpcap, which is sent before the pipe is closed.
    /// The thread is not joined: after damage it may be blocked on a full pipe, or on an input that never closes.
    fed: Option<Receiver<io::Result<u64>>>,
}

impl Pcap {
    /// Reads a stream, which a separate thread writes into a pipe to libpcap.
    ///
    /// # Errors
    ///
    /// When libpcap does not recognise the capture, when its link type is not supported, and when a pipe or a
    /// thread can't be created.
    pub fn from_stream(mut stream: Box<dyn Read + Send>) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        stream.read_exact(&mut header)?;
        // libpcap truncates records to the snap length in the header. Without one it returns all captured
        // bytes, as the other readers do.
        header[SNAP_LENGTH].fill(0);
        let mut stream = Cursor::new(header).chain(stream);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("make a pipe")?;
        // A smaller pipe works too, more slowly.
        let _ = fcntl_setpipe_size(&write, PIPE_SIZE);
        let (outcome, fed) = mpsc::channel();
        thread::Builder::new().name("feeder".into()).spawn(move || {
            let mut write = File::from(write);
            // The receiver may have been dropped.
            let _ = outcome.send(io::copy(&mut stream, &mut write));
        })?;
        Ok(Self { fed: Some(fed), ..Self::from_fd(read)? })
    }

    fn from_fd(fd: OwnedFd) -> Result<Self> {
        // SAFETY: the descriptor is open, and `into_raw_fd` gives up its ownership.
        let capture =
            unsafe { Capture::from_raw_fd_with_precision(fd.into_raw_fd(), Precision::Nano) }
                .map_err(|error| anyhow!("{}", message(&error)))?;
        let pcap::Linktype(number) = capture.get_datalink();
        let number = number.unsigned_abs();
        let Some(link) = LinkType::from_number(number) else {
            bail!(unsupported(number));
        };
        Ok(Self { capture, link, frames: 0, fed: None })
    }

    /// Returns the next frame, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, with the number of the frame.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        match self.capture.next_packet() {
            Ok(packet) => {
                self.frames += 1;
                // The format has unsigned seconds, which libpcap reads as signed: without this a capture of
                // 2038 would be one of 1901.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "undoes the sign extension"
                )]
                let seconds = packet.header.ts.tv_sec as u32;
                // With nanosecond precision libpcap stores nanoseconds in `tv_usec`.
                let time = Timestamp::from_parts(seconds.into(), packet.header.ts.tv_usec);
                Ok(Some(Frame {
                    time: Some(time),
                    link: FrameLink::Known(self.link),
                    length: packet.header.len,
                    data: packet.data,
                }))
            }
            Err(pcap::Error::NoMorePackets) => match self.fed.take().map(|fed| fed.try_recv()) {
                None | Some(Ok(Ok(_))) => Ok(None),
                Some(Ok(Err(error))) => {
                    Err(Error::from(error).context(format!("after frame {}", self.frames)))
                }
                Some(Err(_)) => {
                    Err(io::Error::other("the thread that reads the input failed").into())
                }
            },
            Err(error) => {
                let why = match self.fed.take().map(|fed| fed.try_recv()) {
                    Some(Ok(Err(error))) => Error::from(error),
                    _ => anyhow!("{}", message(&error)),
                };
                Err(why.context(format!("frame {}", self.frames + 1)))
            }
        }
    }
}

/// Returns the error message for a link type that gomon does not parse, by its number.
pub(in crate::source) fn unsupported(number: u32) -> String {
    let name = i32::try_from(number).ok().and_then(|n| pcap::Linktype(n).get_name().ok());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "link type {number}{name} is not supported: capture on Ethernet, Wi-Fi, PPP, Linux cooked, raw IP \
         or loopback"
    )
}

/// Returns libpcap's error message, without the prefix that the binding adds.
pub(in crate::source) fn message(error: &pcap::Error) -> String {
    if let pcap::Error::PcapError(text) = error { text.clone() } else { error.to_string() }
}
