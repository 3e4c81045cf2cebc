//! Classic pcap files, read by libpcap: every magic number, byte order and precision it knows.
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

/// What the pipe from a decompressor to libpcap is asked to hold.
const PIPE_SIZE: usize = 1 << 20;
/// Where in a file's header the snap length lies, in either byte order.
const SNAP_LENGTH: Range<usize> = 16..20;

/// A classic pcap capture.
pub struct Pcap {
    capture: Capture<Offline>,
    link: LinkType,
    frames: u64,
    /// How the thread ended that feeds libpcap through a pipe. It is
    /// there before the pipe is closed, and nobody waits for it: behind damage the thread may be
    /// stuck in a full pipe, or in an input that stays open.
    fed: Option<Receiver<io::Result<u64>>>,
}

impl Pcap {
    /// Reads a stream, which a thread of its own hands to libpcap.
    ///
    /// # Errors
    ///
    /// When libpcap finds no capture in it, or none whose link type gomon can look into, and when there is
    /// no pipe or thread to be had.
    pub fn from_stream(mut stream: Box<dyn Read + Send>) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        stream.read_exact(&mut header)?;
        // libpcap cuts records to the snap length that the header claims. Without one it takes all that
        // is there, as the other readers do.
        header[SNAP_LENGTH].fill(0);
        let mut stream = Cursor::new(header).chain(stream);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("make a pipe")?;
        // A smaller pipe is slower and as good.
        let _ = fcntl_setpipe_size(&write, PIPE_SIZE);
        let (outcome, fed) = mpsc::channel();
        thread::Builder::new().name("feeder".into()).spawn(move || {
            let mut write = File::from(write);
            // Without a receiver there is nobody to tell.
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

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the file is damaged here, with the number of the frame.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        match self.capture.next_packet() {
            Ok(packet) => {
                self.frames += 1;
                // The format has unsigned seconds, which libpcap takes for signed ones: without this
                // a capture of 2038 would be one of 1901.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "meant"
                )]
                let seconds = packet.header.ts.tv_sec as u32;
                // With nanosecond precision libpcap keeps nanoseconds in `tv_usec`.
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

/// The error for a link type that gomon can't look into, by its number.
pub(in crate::source) fn unsupported(number: u32) -> String {
    let name = i32::try_from(number).ok().and_then(|n| pcap::Linktype(n).get_name().ok());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "link type {number}{name} is not supported: capture on Ethernet, Wi-Fi, PPP, Linux cooked, raw IP \
         or loopback"
    )
}

/// libpcap's own words, without the prefix the binding puts in front.
pub(in crate::source) fn message(error: &pcap::Error) -> String {
    if let pcap::Error::PcapError(text) = error { text.clone() } else { error.to_string() }
}
