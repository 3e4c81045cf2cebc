//! Compressed captures, recognised by their magic numbers.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;

use super::incomplete::CorruptInput;

/// The size of the input buffer, in bytes.
const BUFFER: usize = 256 << 10;
/// The memory limit of the xz decoder: presets up to -9 need 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// A compression format.
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
    /// The length of the longest magic number.
    pub const MAGIC_LENGTH: usize = 6;

    /// Recognises the format of an input that starts with `head`.
    #[must_use]
    pub fn recognise(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame, which parallel compressors put in front.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => return None,
        })
    }

    /// Returns the name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// Returns a reader of the decompressed `input`, which may be several compressed files concatenated.
    ///
    /// # Errors
    ///
    /// When the decompressor can't be set up.
    pub fn reader(self, input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let input = BufReader::with_capacity(BUFFER, input);
        Ok(match self {
            Self::Gzip => Box::new(Decompressor(Streams {
                decoder: Some(GzDecoder::new(input)),
                start: GzDecoder::new,
                end: GzDecoder::into_inner,
                padded: true,
            })),
            Self::Zstd => Box::new(Decompressor(zstd::stream::read::Decoder::with_buffer(input)?)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(Decompressor(XzDecoder::new_stream(input, stream)))
            }
            Self::Lz4 => Box::new(Decompressor(Streams {
                decoder: Some(FrameDecoder::new(input)),
                start: FrameDecoder::new,
                end: FrameDecoder::into_inner,
                padded: false,
            })),
        })
    }
}

/// A decompressor whose own errors are distinguished from those of its input.
struct Decompressor<R>(R);

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(CorruptInput::wrap)
    }
}

/// Decodes concatenated compressed streams with a decoder that ends after one.
struct Streams<D, R> {
    decoder: Option<D>,
    start: fn(R) -> D,
    end: fn(D) -> R,
    /// Whether zeros after a stream are padding, as on tapes and for gzip(1).
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
                skip_zeros(&mut input)?;
            }
            if !input.fill_buf()?.is_empty() {
                self.decoder = Some((self.start)(input));
            }
        }
        Ok(0)
    }
}

/// Skips the zeros that `input` continues with.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_all_zeros = zeros > 0 && zeros == bytes.len();
        input.consume(zeros);
        if !is_all_zeros {
            return Ok(());
        }
    }
}
