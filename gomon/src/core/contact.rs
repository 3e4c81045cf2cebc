//! Times of a contact attempt and of the first reply to it, per endpoint.

use std::ops::AddAssign;

use gomon_common::{ContactFlag, Endpoint, protocol};

use super::{Span, Timestamp};

/// The time within which a reply counts for a contact attempt, in nanoseconds. A TCP stack retransmits a
/// lost SYN after one second (RFC 6298), so a reply to the second SYN is still in time.
pub const REPLY_TIMEOUT: i64 = 3_000_000_000;

/// The times of the first contact attempt to an endpoint in one pane and of the first reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContactTimes {
    /// Indexed by [`ATTEMPT`] and [`REPLY`].
    times: [Timestamp; 2],
}

const ATTEMPT: usize = 0;
const REPLY: usize = 1;

/// The value of a time that is not set. It is the latest time, so that the minimum of two is the earlier
/// one that is set.
const NEVER: Timestamp = Timestamp::from_nanoseconds(i64::MAX);

impl Default for ContactTimes {
    fn default() -> Self {
        Self { times: [NEVER; 2] }
    }
}

impl ContactTimes {
    /// Creates the times of the first attempt and of the first reply, if there were any.
    #[must_use]
    pub fn new(attempt: Option<Timestamp>, reply: Option<Timestamp>) -> Self {
        Self { times: [attempt, reply].map(|time| time.unwrap_or(NEVER)) }
    }

    /// The time of the first contact attempt: the bot's first SYN or datagram.
    #[must_use]
    pub fn attempt(&self) -> Option<Timestamp> {
        Some(self.times[ATTEMPT]).filter(|time| *time != NEVER)
    }

    /// The time of the first packet that shows that the endpoint replied.
    #[must_use]
    pub fn reply(&self) -> Option<Timestamp> {
        Some(self.times[REPLY]).filter(|time| *time != NEVER)
    }

    /// Whether there is neither an attempt nor a reply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Records a packet of the bot.
    #[inline]
    pub fn record_sent(&mut self, flag: ContactFlag, time: Timestamp) {
        // The flag is unpredictable, so the index is computed instead of branched on. Whether the packet is
        // the first of its kind is predictable. A mispredicted branch costs more than the rest of counting a
        // packet.
        let first = &mut self.times[if flag == ContactFlag::ATTEMPT { ATTEMPT } else { REPLY }];
        if *first == NEVER && flag != ContactFlag::NONE {
            *first = time;
        }
    }

    /// Records a packet from the endpoint to the bot.
    pub fn record_reply(&mut self, time: Timestamp) {
        self.record_sent(ContactFlag::ESTABLISHED, time);
    }

    /// Returns the times clamped to `span`: timestamps may be wrong, but what is counted in a pane happened
    /// in it.
    #[must_use]
    pub fn clamped_to(self, span: Span) -> Self {
        let clamp = |time: Timestamp| time.clamp(span.start, span.end);
        Self::new(self.attempt().map(clamp), self.reply().map(clamp))
    }

    /// Returns the times moved by `by` nanoseconds, after the clock was set by as much.
    #[must_use]
    pub fn shifted_by(self, by: i64) -> Self {
        let shift = |time: Timestamp| time.after(by);
        Self::new(self.attempt().map(shift), self.reply().map(shift))
    }

    /// Returns the times without the attempt, so that they no longer describe a contact.
    #[must_use]
    pub fn without_attempt(self) -> Self {
        Self::new(None, self.reply())
    }

    /// Whether a reply from `endpoint` after `time` would still count, and can only be seen in a packet to the
    /// bot. This is limited to UDP: the bot's next TCP segment shows that it received a reply.
    #[must_use]
    pub fn awaits_reply(&self, endpoint: &Endpoint, time: Timestamp) -> bool {
        endpoint.protocol() == protocol::UDP
            && self.reply().is_none()
            && self.attempt().is_some_and(|attempt| time.since(attempt) < REPLY_TIMEOUT)
    }
}

/// Keeps the earlier of both attempts and the earlier of both replies.
impl AddAssign for ContactTimes {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.times.iter_mut().zip(other.times) {
            *mine = theirs.min(*mine);
        }
    }
}
