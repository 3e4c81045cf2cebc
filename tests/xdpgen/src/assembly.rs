//! The few instructions of the kernel's virtual machine that the programs here are made of, each
//! assembled by hand: no compiler for that machine is needed to run the tests.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A register. The first to fifth carry arguments and are lost in a call; the sixth to ninth are kept.
pub(crate) type Register = u8;
/// The register that points behind the stack.
pub(crate) const STACK: Register = 10;

/// Helpers of the kernel's, by their numbers.
pub(crate) const MAP_LOOKUP: i32 = 1;
pub(crate) const RANDOM: i32 = 7;
pub(crate) const PUSH_TAG: i32 = 18;
pub(crate) const REDIRECT: i32 = 23;

/// An instruction as the kernel takes it.
pub(crate) type Instruction = [u8; 8];

/// A program in the making. Arithmetic is on 64 bits where nothing else is said.
#[derive(Default)]
pub(crate) struct Assembly(Vec<Instruction>);

/// How wide an access to memory is.
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

    /// Adds to the low 32 bits, and clears the others.
    pub(crate) fn add_short(&mut self, to: Register, value: u32) {
        self.push(0x04, to, 0, 0, value.cast_signed());
    }

    /// Leaves of the low 32 bits those of a mask, and clears the others.
    pub(crate) fn mask_short(&mut self, to: Register, mask: u32) {
        self.push(0x54, to, 0, 0, mask.cast_signed());
    }

    pub(crate) fn exclusive_or(&mut self, to: Register, value: i32) {
        self.push(0xa7, to, 0, 0, value);
    }

    pub(crate) fn shift_right(&mut self, to: Register, bits: i32) {
        self.push(0x77, to, 0, 0, bits);
    }

    /// From the machine's byte order to the network's.
    pub(crate) fn network_order(&mut self, to: Register, bits: i32) {
        self.push(0xdc, to, 0, 0, bits);
    }

    /// Adds to a number in memory that others add to as well.
    pub(crate) fn add_to_memory(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0);
    }

    /// The same, and leaves in `from` what the number was before (Linux 5.12).
    pub(crate) fn count_in_memory(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 1);
    }

    /// Where its value would be the one of a map of that descriptor.
    pub(crate) fn map(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.push(0x18, to, 1, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    /// The address of the first value of an array of that descriptor.
    pub(crate) fn first_value(&mut self, to: Register, array: BorrowedFd<'_>) {
        self.push(0x18, to, 2, 0, array.as_raw_fd());
        self.push(0, 0, 0, 0, 0);
    }

    pub(crate) fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// A jump over as many instructions as [`Assembly::land`] then finds behind it.
    pub(crate) fn jump_if_greater(&mut self, left: Register, right: Register) -> Jump {
        self.push(0x2d, left, right, 0, 0);
        Jump(self.0.len())
    }

    pub(crate) fn jump_if_zero(&mut self, register: Register) -> Jump {
        self.push(0x15, register, 0, 0, 0);
        Jump(self.0.len())
    }

    /// Lets jumps end here.
    pub(crate) fn land(&mut self, jumps: impl IntoIterator<Item = Jump>) {
        let here = self.0.len();
        for Jump(behind) in jumps {
            // Programs here have some dozens of instructions.
            let [low, high] = i16::try_from(here - behind).unwrap_or(i16::MAX).to_ne_bytes();
            self.0[behind - 1][2..4].copy_from_slice(&[low, high]);
        }
    }

    pub(crate) fn exit(&mut self) {
        self.push(0x95, 0, 0, 0, 0);
    }
}

/// A jump whose end is not known yet: the place behind it.
pub(crate) struct Jump(usize);
