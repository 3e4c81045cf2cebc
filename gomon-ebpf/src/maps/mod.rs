//! One map a file, and what can be done with it.

pub(crate) mod awaited;
pub(crate) mod contact;
pub(crate) mod current;
pub(crate) mod endpoints;
pub(crate) mod hosts;
pub(crate) mod ignored;
pub(crate) mod known;
pub(crate) mod ledger;
pub(crate) mod near;
pub(crate) mod packets;
pub(crate) mod registers;
pub(crate) mod senders;
pub(crate) mod sieve;
pub(crate) mod sources;
