//! Headers of 802.11 data frames, with or without radiotap.

use gomon_common::LinkType;
use proptest::prelude::*;

use super::builder::{Builder, TRUNCATED};

/// A header that is followed by LLC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wifi {
    four_addresses: bool,
    quality: bool,
    order: bool,
    /// A radiotap header: the number of presence words, whether it has a timestamp, and whether it declares the 802.11
    /// header padded.
    radiotap: Option<(usize, bool, bool)>,
}

pub(super) fn wifi() -> impl Strategy<Value = Wifi> {
    let radiotap = prop::option::of((1..=3usize, any::<bool>(), any::<bool>()));
    (any::<bool>(), any::<bool>(), any::<bool>(), radiotap).prop_map(
        |(four_addresses, quality, order, radiotap)| Wifi {
            four_addresses,
            quality,
            order,
            radiotap,
        },
    )
}

impl Builder {
    pub(super) fn wifi(&mut self, wifi: Wifi) -> LinkType {
        let mut padded = false;
        if let Some((words, has_time, is_padded)) = wifi.radiotap {
            padded = is_padded;
            self.radiotap(words, has_time, is_padded);
        }
        let start = self.frame.len();
        let flags = [1, 3][usize::from(wifi.four_addresses)] | u8::from(wifi.order) << 7;
        self.frame.extend([8 | u8::from(wifi.quality) << 7, flags]);
        self.need(self.frame.len(), TRUNCATED);
        self.fill(20);
        self.frame.extend([self.noise[5] & 0xf0, self.noise[6]]);
        self.need(start + 23, TRUNCATED);
        self.fill(if wifi.four_addresses { 6 } else { 0 });
        if wifi.quality {
            self.frame.push(self.noise[7] & 0x7f);
            self.need(self.frame.len(), TRUNCATED);
            self.fill(if wifi.order { 5 } else { 1 });
        }
        if padded {
            let length = (self.frame.len() - start).next_multiple_of(4);
            self.fill(start + length - self.frame.len());
        }
        if wifi.radiotap.is_some() { LinkType::Radiotap } else { LinkType::Ieee80211 }
    }

    fn radiotap(&mut self, words: usize, has_time: bool, is_padded: bool) {
        let start = self.frame.len();
        let flags_at = 4 + 4 * words;
        let flags_at = if has_time { flags_at.next_multiple_of(8) + 8 } else { flags_at };
        let length = u8::try_from(flags_at + 2).expect("a short header");
        self.frame.extend([0, self.noise[8], length, 0]);
        self.need(self.frame.len(), TRUNCATED);
        for word in 1..=words {
            let first = if word == 1 { 2 | u32::from(has_time) } else { 0 };
            let more = u32::from(word < words) << 31;
            self.frame.extend((first | more).to_le_bytes());
            self.need(self.frame.len(), TRUNCATED);
        }
        self.fill(start + flags_at - self.frame.len());
        self.frame.push(self.noise[9] & !0x20 | u8::from(is_padded) << 5);
        self.need(self.frame.len(), TRUNCATED);
        self.fill(1);
    }
}
