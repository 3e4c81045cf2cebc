//! Code and types that gomon's kernel program and user space share.
//!
//! Both parse frames with the same header parsers ([`parse()`] and its shortcuts, see [`mod@parse`]), and keep
//! counts under the same keys ([`Address`], [`Endpoint`]). The crate is `no_std`, has no dependencies and no
//! `unsafe`, and nothing in it allocates, loops without a bound, or panics: the kernel's verifier checks it too.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod address;
pub mod bloom;
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
pub use mac::{Mac, NotAMac};
pub use packet::{ContactFlag, Flags, Packet};
pub use parse::{Skip, V4Packet, parse, parse_plain};
