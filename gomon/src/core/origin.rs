//! Where the packets to an endpoint came from, where packets of every source are counted.

use std::ops::AddAssign;

use gomon_common::Address;

/// The source of the packets to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A single source.
    One(Address),
    /// More than one source.
    Several,
}

impl AddAssign for Origin {
    fn add_assign(&mut self, other: Self) {
        if *self != other {
            *self = Self::Several;
        }
    }
}
