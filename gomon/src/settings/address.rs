//! Addresses, prefixes and MAC addresses.

use std::net::IpAddr;

use anyhow::{Result, bail};
use gomon_common::Address;
use ipnet::IpNet;

use crate::core::{BotMac, Sources};

/// Parses the addresses of a bot, or `any`.
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

/// Parses the MAC address of a bot, or `auto`.
pub(super) fn bot_mac(text: &str) -> Result<BotMac> {
    if text.trim().eq_ignore_ascii_case("auto") {
        return Ok(BotMac::First);
    }
    let Ok(mac) = text.trim().parse() else {
        bail!("not a MAC address: give one like 52:54:00:12:34:56, or auto");
    };
    Ok(BotMac::Is(mac))
}

/// The items of one comma list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommaList<T>(pub Vec<T>);

/// Parses a comma list of addresses. Empty items are skipped.
pub(super) fn addresses(text: &str) -> Result<CommaList<Address>> {
    list(text, address)
}

/// Parses a comma list of prefixes. Empty items are skipped.
pub(super) fn prefixes(text: &str) -> Result<CommaList<IpNet>> {
    list(text, prefix)
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T>) -> Result<CommaList<T>> {
    let items = text.split(',').filter(|text| !text.trim().is_empty());
    items.map(item).collect::<Result<_>>().map(CommaList)
}

fn address(text: &str) -> Result<Address> {
    let Ok(ip) = text.trim().parse::<IpAddr>() else {
        bail!("not an IP address: give one like 10.0.0.5 or 2001:db8::5");
    };
    Ok(ip.into())
}

/// Parses a prefix, or an address as the prefix that contains only it.
fn prefix(text: &str) -> Result<IpNet> {
    let text = text.trim();
    let net = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    let Some(net) = net else {
        bail!("not an address or a prefix: give one like 10.0.0.5 or 10.0.0.0/8");
    };
    Ok(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_are_merged() {
        let bot = sources("::ffff:10.0.0.5, 2001:DB8::1,10.0.0.5").unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let expected = Sources::Bot { first: Address::v4([10, 0, 0, 5]), others: vec![v6.into()] };
        assert_eq!(bot, expected);
        assert_eq!(sources("ANY").unwrap(), Sources::Any);
        assert!(
            sources("").is_err() && sources("banana").is_err() && sources("10.0.0.5,").is_err()
        );
    }

    #[test]
    fn empty_items_of_a_list_are_skipped() {
        assert_eq!(addresses(" , ").unwrap(), CommaList(vec![]));
        let [first, second] = [[8, 8, 8, 8], [9, 9, 9, 9]].map(Address::v4);
        assert_eq!(addresses("8.8.8.8,, 9.9.9.9,").unwrap(), CommaList(vec![first, second]));
    }
}
