//! Compressed captures, recognised by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;

use super::incomplete::Corrupt;

/// Input is read in pieces of this size.
const BUFFER: usize = 256 << 10;
/// The most memory an xz stream may ask for: presets up to -9 need 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// How a capture is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format.
    Xz,
    /// The LZ4 frame format.
    Lz4,
}

impl Compression {
    /// Bytes that tell.
    pub const MAGIC_LENGTH: usize = 6;

    /// What the first bytes say.
    #[must_use]
    pub fn recognise(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one of the skippable frames that parallel compressors put in front.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => return None,
        })
    }

    /// The name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// Reads what `input` compresses; files put together of several compressed ones included.
    ///
    /// # Errors
    ///
    /// When the decompressor can't be set up.
    pub fn reader(self, input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let input = BufReader::with_capacity(BUFFER, input);
        Ok(match self {
            Self::Gzip => Box::new(Marked(Streams {
                decoder: Some(GzDecoder::new(input)),
                start: GzDecoder::new,
                end: GzDecoder::into_inner,
                padded: true,
            })),
            Self::Zstd => Box::new(Marked(zstd::stream::read::Decoder::with_buffer(input)?)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(Marked(XzDecoder::new_stream(input, stream)))
            }
            Self::Lz4 => Box::new(Marked(Streams {
                decoder: Some(FrameDecoder::new(input)),
                start: FrameDecoder::new,
                end: FrameDecoder::into_inner,
                padded: false,
            })),
        })
    }
}

/// A decompressor whose complaints are told from those of its input.
struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(Corrupt::mark)
    }
}

/// Compressed streams one after the other, by a decoder that itself ends with the first.
struct Streams<D, R> {
    decoder: Option<D>,
    start: fn(R) -> D,
    end: fn(D) -> R,
    /// Whether zeros behind a stream are padding, as on tapes and for gzip(1).
    padded: bool,
}

impl<D: Read, R: BufRead> Read for Streams<D, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut input = match self.decoder.take() {
                Some(decoder) => (self.end)(decoder),
                None => break,
            };
            if self.padded {
                pass_zeros(&mut input)?;
            }
            if !input.fill_buf()?.is_empty() {
                self.decoder = Some((self.start)(input));
            }
        }
        Ok(0)
    }
}

/// Passes over the zeros that `input` goes on with.
fn pass_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let goes_on = zeros > 0 && zeros == bytes.len();
        input.consume(zeros);
        if !goes_on {
            return Ok(());
        }
    }
}
