//! What a bot's contacts with endpoints show of themselves: when it tried, and when that was answered.

use std::ops::AddAssign;

use gomon_common::{ContactFlag, Endpoint, protocol};

use super::{Span, Timestamp};

/// How long a contact may take to be answered, in nanoseconds. TCP stacks send a lost SYN again after
/// one second (RFC 6298), so this leaves an answer to the second SYN its time.
pub const ANSWER_TIME: i64 = 3_000_000_000;

/// The contacts of one endpoint in one pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContactTimes {
    times: [Timestamp; 2],
}

const TRIED: usize = 0;
const ANSWERED: usize = 1;

/// Stands for a time that is not there.
const NEVER: Timestamp = Timestamp::from_nanoseconds(i64::MAX);

impl Default for ContactTimes {
    fn default() -> Self {
        Self { times: [NEVER; 2] }
    }
}

impl ContactTimes {
    /// The first try and the first answer, as far as there were any.
    #[must_use]
    pub fn new(tried: Option<Timestamp>, answered: Option<Timestamp>) -> Self {
        Self { times: [tried, answered].map(|time| time.unwrap_or(NEVER)) }
    }

    /// When the bot first tried to reach the endpoint: its first SYN, or datagram.
    #[must_use]
    pub fn tried(&self) -> Option<Timestamp> {
        Some(self.times[TRIED]).filter(|time| *time != NEVER)
    }

    /// When it was first seen that the endpoint answers.
    #[must_use]
    pub fn answered(&self) -> Option<Timestamp> {
        Some(self.times[ANSWERED]).filter(|time| *time != NEVER)
    }

    /// Whether there is nothing to be seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Enters a packet of the bot.
    #[inline]
    pub fn sent(&mut self, flag: ContactFlag, time: Timestamp) {
        // Which flag a packet has can't be guessed, so the place is computed; that it is the first one
        // is guessed right: a branch that is guessed wrong costs more than all the rest of counting a
        // packet.
        let first = &mut self.times[if flag == ContactFlag::ATTEMPT { TRIED } else { ANSWERED }];
        if *first == NEVER && flag != ContactFlag::NONE {
            *first = time;
        }
    }

    /// Enters a packet that came back.
    pub fn came_back(&mut self, time: Timestamp) {
        self.sent(ContactFlag::ESTABLISHED, time);
    }

    /// The same with times that lie in `span`: timestamps may lie, but what is counted in a pane
    /// happened in it.
    #[must_use]
    pub fn within(self, span: Span) -> Self {
        let within = |time: Timestamp| time.clamp(span.start, span.end);
        Self::new(self.tried().map(within), self.answered().map(within))
    }

    /// The same by a clock that was set by so many nanoseconds.
    #[must_use]
    pub fn after(self, by: i64) -> Self {
        let after = |time: Timestamp| time.after(by);
        Self::new(self.tried().map(after), self.answered().map(after))
    }

    /// The same without the try: no contact then.
    #[must_use]
    pub fn without_try(self) -> Self {
        Self::new(None, self.answered())
    }

    /// Whether an answer that comes after `time`, and shows itself only in what comes back, still
    /// counts for the contact with `endpoint`.
    #[must_use]
    pub fn waits(&self, endpoint: &Endpoint, time: Timestamp) -> bool {
        endpoint.protocol() == protocol::UDP
            && self.answered().is_none()
            && self.tried().is_some_and(|tried| time.since(tried) < ANSWER_TIME)
    }
}

/// The earlier of each.
impl AddAssign for ContactTimes {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.times.iter_mut().zip(other.times) {
            *mine = theirs.min(*mine);
        }
    }
}
