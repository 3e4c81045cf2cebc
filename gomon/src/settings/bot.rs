//! Who is the bot: its addresses, and the sender of its frames.

use std::net::IpAddr;

use anyhow::{Result, bail};
use gomon_common::Address;

use crate::core::{BotMac, Sources};

/// The addresses of a bot, or every source.
pub(super) fn sources(text: &str) -> Result<Sources> {
    if text.trim().eq_ignore_ascii_case("any") {
        return Ok(Sources::Any);
    }
    let mut addresses = text.split(',').map(address).collect::<Result<Vec<_>>>()?.into_iter();
    let Some(first) = addresses.next() else { bail!("empty: give the bot's address") };
    let mut others: Vec<_> = addresses.filter(|other| *other != first).collect();
    others.sort_unstable();
    others.dedup();
    Ok(Sources::Bot { first, others })
}

/// The sender of a bot's frames.
pub(super) fn bot_mac(text: &str) -> Result<BotMac> {
    if text.trim().eq_ignore_ascii_case("auto") {
        return Ok(BotMac::First);
    }
    let Ok(mac) = text.trim().parse() else {
        bail!("not a MAC address: give one like 52:54:00:12:34:56, or auto");
    };
    Ok(BotMac::Is(mac))
}

/// One address.
pub(super) fn address(text: &str) -> Result<Address> {
    let Ok(ip) = text.trim().parse::<IpAddr>() else {
        bail!("not an IP address: give one like 10.0.0.5 or 2001:db8::5");
    };
    Ok(ip.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        let bot = sources("::ffff:10.0.0.5, 2001:DB8::1,10.0.0.5").unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let expected = Sources::Bot { first: Address::v4([10, 0, 0, 5]), others: vec![v6.into()] };
        assert_eq!(bot, expected);
        assert_eq!(sources("ANY").unwrap(), Sources::Any);
        assert!(
            sources("").is_err() && sources("banana").is_err() && sources("10.0.0.5,").is_err()
        );
    }
}
