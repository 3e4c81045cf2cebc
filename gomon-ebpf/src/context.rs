//! Access to the bytes of a frame through the program contexts. The only file that reads packet memory.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_MAC;
use aya_ebpf::helpers::{
    bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
};
use aya_ebpf::programs::{TcContext, XdpContext};
use gomon_common::Frame;

/// The bound that the verifier needs on an offset. Everything the parser reads is within this many bytes of
/// the start of the frame: 14 bytes of Ethernet, up to four layers of at most 252 bytes with three tags in
/// front of each, an IP header, and eight extension headers of at most 2048 bytes.
const MAX_OFFSET: usize = 0x7fff;

/// Direct packet access: the bytes between the `data` and `data_end` pointers of a context. For constant
/// offsets.
#[derive(Clone, Copy)]
pub(crate) struct DirectAccess {
    start: usize,
    end: usize,
}

impl DirectAccess {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    #[inline(always)]
    pub(crate) fn length(&self) -> u64 {
        (self.end - self.start) as u64
    }
}

impl Frame for DirectAccess {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let address = self.start + offset;
        if address + N > self.end {
            return None;
        }
        // SAFETY: the `N` bytes from `address` on lie between the `data` and `data_end` pointers of the
        // context, which the verifier proves again. An array of bytes has no alignment and no invalid
        // value.
        Some(unsafe { *(address as *const [u8; N]) })
    }
}

/// Direct packet access for offsets that are computed at run time.
pub(crate) struct VariableOffsetAccess(pub(crate) DirectAccess);

impl Frame for VariableOffsetAccess {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let address = self.0.start + offset;
        let mut end = address;
        // For a single byte the compiler would compare `address < data_end`, from which the verifier learns
        // nothing. The assembly hides from the compiler what is added.
        // SAFETY: the instruction changes only its operand.
        unsafe { asm!("{0} += {1}", inout(reg) end, const N, options(pure, nomem, nostack)) };
        if end > self.0.end {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { *(address as *const [u8; N]) })
    }

    #[inline(always)]
    fn forget_value(&self, offset: usize) -> usize {
        // No frame is long enough for this to add anything, but neither the compiler nor the verifier
        // knows.
        (offset + ((self.0.end - self.0.start) >> 32)) & MAX_OFFSET
    }
}

/// A VLAN tag that the kernel moved from the frame into the skb: protocol identifier (TPID) and tag control
/// information (TCI).
pub(crate) struct VlanTag {
    pub(crate) tpid: u16,
    pub(crate) tci: u16,
}

/// Returns the index of the interface that received the frame.
#[inline(always)]
pub(crate) fn interface(ctx: &XdpContext) -> u32 {
    // SAFETY: this is the context that the program was called with.
    unsafe { (*ctx.ctx).ingress_ifindex }
}

/// Returns the index of the interface that the program is attached to.
#[inline(always)]
pub(crate) fn skb_interface(ctx: &TcContext) -> u32 {
    // SAFETY: this is the context that the program was called with.
    unsafe { (*ctx.skb.skb).ifindex }
}

/// Returns the VLAN tag in the metadata of the skb.
#[inline(always)]
pub(crate) fn vlan_tag(ctx: &TcContext) -> Option<VlanTag> {
    let skb = ctx.skb.skb;
    // SAFETY: this is the context that the program was called with. The kernel provides the TPID in network
    // byte order and the TCI in host byte order.
    let (present, tpid, tci) = unsafe { ((*skb).vlan_present, (*skb).vlan_proto, (*skb).vlan_tci) };
    (present != 0).then_some(VlanTag { tpid: u16::from_be(tpid as u16), tci: tci as u16 })
}

/// Returns the number of bytes of the frame in front of the skb's data at ingress: 0 or the length of the
/// Ethernet header. The data may start after the header if a generic XDP program made the kernel copy the
/// frame, which loses the length of the header.
#[inline(always)]
fn header_length_before_data(ctx: &TcContext) -> u32 {
    const ETHERNET: u32 = 14;
    let skb = ctx.skb.skb;
    // `sch_handle_ingress` sets `wire_len` to at least the length of the data, and then moves the start of
    // the data to the MAC header. So the lengths differ by 14 only if that uncovered 14 bytes. Newer kernels
    // add the headers of the segments of a GSO packet to `wire_len`, and the helper below decides.
    // SAFETY: this is the context that the program was called with.
    let uncovered = unsafe { (*skb).len.wrapping_sub((*skb).wire_len) };
    if uncovered == ETHERNET {
        return 0;
    }
    let mut byte = MaybeUninit::<u8>::uninit();
    // A byte at this distance from the MAC header exists only if the data starts after the Ethernet header.
    let last = linear_length(ctx) + ETHERNET - 1;
    let to = byte.as_mut_ptr().cast();
    // SAFETY: `to` has room for one byte.
    let result =
        unsafe { bpf_skb_load_bytes_relative(ctx.as_ptr(), last, to, 1, BPF_HDR_START_MAC) };
    if result == 0 { ETHERNET } else { 0 }
}

/// Returns the length of the skb's linear data. Large skbs have further data in fragments.
#[inline(always)]
fn linear_length(ctx: &TcContext) -> u32 {
    (ctx.data_end() - ctx.data()) as u32
}

/// Returns the length of a frame including its fragments.
#[inline(always)]
pub(crate) fn total_length(ctx: &XdpContext) -> u64 {
    // SAFETY: this is the context that the program was called with.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) }
}

/// The linear data of an skb. Reads nothing if the data does not start with the Ethernet header.
pub(crate) struct SkbLinear {
    data: DirectAccess,
    has_ethernet_header: bool,
}

impl Frame for SkbLinear {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if self.has_ethernet_header { self.data.read(offset) } else { None }
    }
}

/// A frame that may have fragments, read by a helper. Slower than direct access, but it reaches the
/// fragments, and the verifier has no offsets to track.
pub(crate) struct XdpFrags<'a>(pub(crate) &'a XdpContext);

impl Frame for XdpFrags<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let to = bytes.as_mut_ptr().cast();
        // SAFETY: `to` has room for `N` bytes.
        let result = unsafe { bpf_xdp_load_bytes(self.0.ctx, offset as u32, to, N as u32) };
        // SAFETY: all `N` bytes were written.
        (result == 0).then(|| unsafe { bytes.assume_init() })
    }
}

/// The whole data of an skb, read by a helper.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    header_length_before_data: u32,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn at_ingress(ctx: &'a TcContext) -> Self {
        Self { ctx, header_length_before_data: header_length_before_data(ctx) }
    }

    /// At egress the data starts with the MAC header, which `__dev_queue_xmit` sets to the start.
    #[inline(always)]
    pub(crate) fn at_egress(ctx: &'a TcContext) -> Self {
        Self { ctx, header_length_before_data: 0 }
    }

    /// Returns the linear data, for direct access.
    #[inline(always)]
    pub(crate) fn linear(&self) -> SkbLinear {
        let (start, end) = (self.ctx.data(), self.ctx.data_end());
        let has_ethernet_header = self.header_length_before_data == 0;
        SkbLinear { data: DirectAccess { start, end }, has_ethernet_header }
    }

    /// Returns the length of the frame without a VLAN tag that was moved into the skb.
    #[inline(always)]
    pub(crate) fn length(&self) -> u64 {
        u64::from(self.ctx.len() + self.header_length_before_data)
    }
}

impl Frame for Skb<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let (ctx, to) = (self.ctx.as_ptr(), bytes.as_mut_ptr().cast());
        let (offset, length) = (offset as u32, N as u32);
        let result = if self.header_length_before_data == 0 {
            // SAFETY: `to` has room for `N` bytes.
            unsafe { bpf_skb_load_bytes(ctx, offset, to, length) }
        } else {
            // Relative to the MAC header. This reaches only the linear data.
            // SAFETY: as above.
            unsafe { bpf_skb_load_bytes_relative(ctx, offset, to, length, BPF_HDR_START_MAC) }
        };
        // SAFETY: all `N` bytes were written.
        (result == 0).then(|| unsafe { bytes.assume_init() })
    }
}
