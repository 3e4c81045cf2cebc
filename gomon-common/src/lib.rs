//! Types and functions shared by gomon's eBPF programs and its user space.
//!
//! Both parse frames with the same header parsers ([`parse()`] and its shortcuts, see [`mod@parse`]), and
//! key their counts by the same types ([`Address`], [`Endpoint`]). The crate is `no_std`, has no
//! dependencies and no `unsafe`. Nothing in it allocates, panics, or loops without a bound, because the
//! eBPF verifier has to accept it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod address;
pub mod bloom;
pub mod bot;
mod endpoint;
pub mod flow_cache;
mod frame;
pub mod hash;
pub mod hyperloglog;
pub mod kernel;
mod link;
mod mac;
mod packet;
pub mod parse;

pub use address::Address;
pub use endpoint::{Endpoint, protocol};
pub use frame::Frame;
pub use link::LinkType;
pub use mac::{Mac, ParseMacError};
pub use packet::{ContactFlag, Flags, Packet};
pub use parse::{Skip, V4Packet, parse, parse_plain};
