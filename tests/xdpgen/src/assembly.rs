//! An assembler for the BPF instructions that the programs here use, so that the tests need no BPF compiler.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A register. A call takes its arguments in r1 to r5 and clobbers them, returns in r0, and preserves r6 to r9.
pub(crate) type Register = u8;
/// The frame pointer, which points to the end of the stack.
pub(crate) const STACK: Register = 10;

/// Numbers of the kernel's helper functions.
pub(crate) const MAP_LOOKUP: i32 = 1;
pub(crate) const GET_PRANDOM_U32: i32 = 7;
pub(crate) const SKB_VLAN_PUSH: i32 = 18;
pub(crate) const REDIRECT: i32 = 23;

/// An encoded instruction (`struct bpf_insn`).
pub(crate) type Instruction = [u8; 8];

/// A program under construction. Arithmetic is on 64 bits unless stated otherwise.
#[derive(Default)]
pub(crate) struct Assembly(Vec<Instruction>);

/// The width of a memory access, in bytes.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Two = 0x08,
    Four = 0x00,
    Eight = 0x18,
}

impl Assembly {
    pub(crate) fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, value: i32) {
        let [o0, o1] = offset.to_ne_bytes();
        let [v0, v1, v2, v3] = value.to_ne_bytes();
        self.0.push([code, from << 4 | to, o0, o1, v0, v1, v2, v3]);
    }

    /// Loads four bytes from memory.
    pub(crate) fn load(&mut self, to: Register, from: Register, offset: i16) {
        self.push(0x61, to, from, offset, 0);
    }

    pub(crate) fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(0x63 | width as u8, to, from, offset, 0);
    }

    pub(crate) fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    pub(crate) fn set(&mut self, to: Register, value: i32) {
        self.push(0xb7, to, 0, 0, value);
    }

    pub(crate) fn add(&mut self, to: Register, value: i32) {
        self.push(0x07, to, 0, 0, value);
    }

    pub(crate) fn add_register(&mut self, to: Register, from: Register) {
        self.push(0x0f, to, from, 0, 0);
    }

    /// Adds to the low 32 bits, and clears the high 32 bits.
    pub(crate) fn add_32(&mut self, to: Register, value: u32) {
        self.push(0x04, to, 0, 0, value.cast_signed());
    }

    /// Masks the low 32 bits, and clears the high 32 bits.
    pub(crate) fn mask_32(&mut self, to: Register, mask: u32) {
        self.push(0x54, to, 0, 0, mask.cast_signed());
    }

    pub(crate) fn exclusive_or(&mut self, to: Register, value: i32) {
        self.push(0xa7, to, 0, 0, value);
    }

    pub(crate) fn shift_right(&mut self, to: Register, bits: i32) {
        self.push(0x77, to, 0, 0, bits);
    }

    /// Converts from host byte order to network byte order.
    pub(crate) fn network_order(&mut self, to: Register, bits: i32) {
        self.push(0xdc, to, 0, 0, bits);
    }

    /// Adds atomically to a number in memory.
    pub(crate) fn add_to_memory(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0);
    }

    /// Like [`Assembly::add_to_memory`], and loads the previous value into `from` (Linux 5.12).
    pub(crate) fn fetch_add_in_memory(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 1);
    }

    /// Loads a reference to a map.
    pub(crate) fn map(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.push(0x18, to, 1, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    /// Loads the address of the first value of an array map.
    pub(crate) fn first_value(&mut self, to: Register, array: BorrowedFd<'_>) {
        self.push(0x18, to, 2, 0, array.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    pub(crate) fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// Adds a conditional jump, whose target [`Assembly::land`] sets.
    pub(crate) fn jump_if_greater(&mut self, left: Register, right: Register) -> Jump {
        self.push(0x2d, left, right, 0, 0);
        Jump(self.0.len())
    }

    pub(crate) fn jump_if_zero(&mut self, register: Register) -> Jump {
        self.push(0x15, register, 0, 0, 0);
        Jump(self.0.len())
    }

    /// Sets the target of jumps to the next instruction.
    pub(crate) fn land(&mut self, jumps: impl IntoIterator<Item = Jump>) {
        let here = self.0.len();
        for Jump(next) in jumps {
            // Programs here have a few dozen instructions, so the offset fits.
            let [low, high] = i16::try_from(here - next).unwrap_or(i16::MAX).to_ne_bytes();
            self.0[next - 1][2..4].copy_from_slice(&[low, high]);
        }
    }

    pub(crate) fn exit(&mut self) {
        self.push(0x95, 0, 0, 0, 0);
    }
}

/// A jump without a target: the index of the instruction after it.
pub(crate) struct Jump(usize);
