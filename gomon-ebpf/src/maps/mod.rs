//! One BPF map per file, with the operations on it.

pub(crate) mod bloom;
pub(crate) mod bots;
pub(crate) mod contact;
pub(crate) mod counter_entry;
pub(crate) mod endpoints;
pub(crate) mod flow_cache;
pub(crate) mod hosts;
pub(crate) mod hyperloglog;
pub(crate) mod ignored;
pub(crate) mod interfaces;
pub(crate) mod ledger;
pub(crate) mod packets;
pub(crate) mod pending_replies;
pub(crate) mod replies;
pub(crate) mod senders;
pub(crate) mod sources;
