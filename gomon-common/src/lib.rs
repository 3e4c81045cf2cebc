//! What gomon's kernel side and user side must agree on.
//!
//! Both sides run the same header parser ([`parse()`]) over frames, and keep counts under the same
//! keys ([`Address`], [`Endpoint`]). The crate is `no_std`, has no dependencies and no `unsafe`, and
//! nothing in it allocates, loops without a bound, or panics: the kernel's verifier reads it too.
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
pub use parse::{Skip, parse, parse_plain};
