//! The bytes of a frame, as the kernel shows them. The only place where packet memory is read.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_MAC;
use aya_ebpf::helpers::{
    bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
};
use aya_ebpf::programs::{TcContext, XdpContext};
use gomon_common::Frame;

/// What the parser reads lies within this many bytes of a frame's start: 14 of Ethernet, four layers of
/// 252 bytes at most with three tags in front of each, an IP header and eight extension headers of 2048
/// bytes at most. The verifier wants to see a bound.
const FARTHEST: usize = 0x7fff;

/// The bytes between two pointers of the kernel's.
#[derive(Clone, Copy)]
pub(crate) struct OneBuffer {
    start: usize,
    end: usize,
}

impl OneBuffer {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }

    #[inline(always)]
    pub(crate) fn length(&self) -> u64 {
        (self.end - self.start) as u64
    }
}

impl Frame for OneBuffer {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FARTHEST {
            return None;
        }
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: `at` and the `N` bytes behind it lie between the start and the end the kernel gave;
        // the verifier proves it again. An array of bytes has no alignment and no invalid value.
        Some(unsafe { *(at as *const [u8; N]) })
    }
}

/// The same for places that are computed.
pub(crate) struct Walked(pub(crate) OneBuffer);

impl Frame for Walked {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FARTHEST {
            return None;
        }
        let at = self.0.start + offset;
        let mut end = at;
        // Of a single byte the compiler would ask whether it starts before the buffer's end, from which
        // the verifier learns nothing. Here it does not see what is added.
        // SAFETY: the instruction changes nothing but its operand.
        unsafe { asm!("{0} += {1}", inout(reg) end, const N, options(pure, nomem, nostack)) };
        if end > self.0.end {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { *(at as *const [u8; N]) })
    }

    #[inline(always)]
    fn forget_value(&self, offset: usize) -> usize {
        // No frame is so long that anything is added, but neither the compiler nor the verifier knows.
        (offset + ((self.0.end - self.0.start) >> 32)) & FARTHEST
    }
}

/// A VLAN tag that was taken out of a frame: its Ethernet type and its control information.
pub(crate) struct Tag {
    pub(crate) kind: u16,
    pub(crate) control: u16,
}

/// The tag that was taken out of a packet's frame on the way here.
#[inline(always)]
pub(crate) fn tag(context: &TcContext) -> Option<Tag> {
    let packet = context.skb.skb;
    // SAFETY: the context is the one this program was called with. The kernel gives the type as it
    // stands in a frame, and the control information as a number.
    let (present, kind, control) =
        unsafe { ((*packet).vlan_present, (*packet).vlan_proto, (*packet).vlan_tci) };
    (present != 0).then_some(Tag { kind: u16::from_be(kind as u16), control: control as u16 })
}

/// How many bytes of a frame lie in front of its buffer's data: none, or the whole Ethernet header.
/// Where a generic XDP program had the frame copied, the kernel forgets how long that is.
#[inline(always)]
fn in_front(context: &TcContext) -> u32 {
    const ETHERNET: u32 = 14;
    let mut byte = MaybeUninit::<u8>::uninit();
    // So far behind the frame's start there is a byte only where the data starts that much later.
    let last = first_piece(context) + ETHERNET - 1;
    let to = byte.as_mut_ptr().cast();
    // SAFETY: there is room for one byte.
    let result =
        unsafe { bpf_skb_load_bytes_relative(context.as_ptr(), last, to, 1, BPF_HDR_START_MAC) };
    if result == 0 { ETHERNET } else { 0 }
}

/// The length of a buffer's first piece, which is all of it unless it is large.
#[inline(always)]
fn first_piece(context: &TcContext) -> u32 {
    (context.data_end() - context.data()) as u32
}

/// The length of a frame over all its buffers.
#[inline(always)]
pub(crate) fn total_length(context: &XdpContext) -> u64 {
    // SAFETY: the context is the one this program was called with.
    unsafe { bpf_xdp_get_buff_len(context.ctx) }
}

/// The first piece of a socket buffer. Nothing is read of it where it does not start with the frame.
pub(crate) struct Linear {
    piece: OneBuffer,
    has_header: bool,
}

impl Frame for Linear {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if self.has_header { self.piece.read(offset) } else { None }
    }
}

/// Bytes that a helper of the kernel's fetches one by one: slower than a pointer, but a frame may lie in
/// pieces, and the verifier has no offsets to follow.
pub(crate) struct Pieces<'a>(pub(crate) &'a XdpContext);

impl Frame for Pieces<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let to = bytes.as_mut_ptr().cast();
        // SAFETY: there is room for `N` bytes.
        let result = unsafe { bpf_xdp_load_bytes(self.0.ctx, offset as u32, to, N as u32) };
        // SAFETY: all `N` bytes were written.
        (result == 0).then(|| unsafe { bytes.assume_init() })
    }
}

/// A packet that has become a socket buffer.
pub(crate) struct SocketBuffer<'a> {
    context: &'a TcContext,
    in_front: u32,
}

impl<'a> SocketBuffer<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &'a TcContext) -> Self {
        Self { context, in_front: in_front(context) }
    }

    /// What of it lies where a pointer reaches: nothing where the Ethernet header lies in front.
    #[inline(always)]
    pub(crate) fn linear(&self) -> Linear {
        let (start, end) = (self.context.data(), self.context.data_end());
        Linear { piece: OneBuffer { start, end }, has_header: self.in_front == 0 }
    }

    /// The length of the frame, without a tag that was taken out of it.
    #[inline(always)]
    pub(crate) fn length(&self) -> u64 {
        u64::from(self.context.len() + self.in_front)
    }
}

impl Frame for SocketBuffer<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let (context, to) = (self.context.as_ptr(), bytes.as_mut_ptr().cast());
        let (offset, length) = (offset as u32, N as u32);
        let result = if self.in_front == 0 {
            // SAFETY: there is room for `N` bytes.
            unsafe { bpf_skb_load_bytes(context, offset, to, length) }
        } else {
            // From the frame's start, and no farther than its buffer's first piece.
            // SAFETY: as above.
            unsafe { bpf_skb_load_bytes_relative(context, offset, to, length, BPF_HDR_START_MAC) }
        };
        // SAFETY: all `N` bytes were written.
        (result == 0).then(|| unsafe { bytes.assume_init() })
    }
}
