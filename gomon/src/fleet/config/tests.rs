//! Tests of the configuration.

use std::time::Duration;

use super::*;
use crate::settings::EveTarget;

fn parse(text: &str) -> Result<FleetConfig> {
    FleetConfig::parse(Path::new("gomon.toml"), text)
}

fn error(text: &str) -> String {
    format!("{:#}", parse(text).unwrap_err())
}

#[test]
fn defaults_apply_to_every_bot_that_does_not_override_them() {
    let config = parse(
        r#"
        stagger = true
        [defaults]
        window = "10s"
        step = 5
        packet_threshold = 0.5
        eve_log_path = "/tmp/{interface}.json"
        log_level = "warn"
        [metrics]
        [control]
        socket = "/run/x.sock"
        [[bot]]
        interface = "vnet0"
        src = ["10.0.0.5", "::1"]
        packet_threshold = 20
        sensor_name = ""
        [[bot]]
        interface = "vnet*"
        src = "any"
        "#,
    )
    .unwrap();
    assert!(config.stagger && config.log_level == LevelFilter::Warn);
    assert_eq!(config.metrics, Some(METRICS.parse().unwrap()));
    assert_eq!(config.control.as_deref(), Some(Path::new("/run/x.sock")));
    let [first, second] = &config.bots[..] else { panic!("{config:?}") };
    let bot = first.settings("vnet0").unwrap();
    assert_eq!(bot.policy.window, Duration::from_secs(10));
    assert!((bot.policy.packet_threshold - 20.0).abs() < 1e-9);
    assert_eq!(bot.eve.target, EveTarget::File("/tmp/vnet0.json".into()));
    assert_eq!((bot.sensor_name, bot.sources.addresses().count()), (None, 2));
    assert!(second.is_on("vnet7") && !second.is_on("eth0") && second.is_pattern());
    let bot = second.settings("vnet7").unwrap();
    assert_eq!(bot.eve.target, EveTarget::File("/tmp/vnet7.json".into()));
    assert!((bot.policy.packet_threshold - 0.5).abs() < 1e-9);
    assert!(bot.sensor_name.is_some_and(|name| !name.is_empty()));
}

#[test]
fn an_empty_file_has_no_bots() {
    let config = parse("").unwrap();
    assert!(config.bots.is_empty() && config.metrics.is_none() && config.control.is_none());
}

#[test]
fn errors_name_the_line_the_key_and_what_to_give() {
    let bot = "[[bot]]\ninterface = \"vnet0\"\nsrc = \"10.0.0.5\"\n";
    for (text, expected) in [
        (format!("{bot}windwo = 1"), "gomon.toml:4: windwo: unknown key: did you mean \"window\"?"),
        (format!("{bot}interfce = 1"), "gomon.toml:4: interfce: unknown key: did you mean \"inter"),
        (format!("{bot}window = 'x'"), "gomon.toml:4: window \"x\": not a length of time: give"),
        (format!("{bot}step = 7"), "gomon.toml:4: step \"7\": does not divide the window of 30s"),
        (format!("{bot}quiet = true"), "gomon.toml:4: quiet: applies to all bots: give it in"),
        (format!("{bot}calibrate = true"), "gomon.toml:4: calibrate: not for bots that come"),
        (format!("{bot}{bot}"), "gomon.toml:5: interface \"vnet0\": the same interface and addr"),
        (format!("{bot}[[bot]]\ninterface='vnet0'\nsrc='any'"), "gomon.toml:5: interface \"vne"),
        (format!("{bot}capture_dir = '{{x}}'"), "gomon.toml:4: capture_dir \"{x}\": unknown pla"),
        (
            "[defaults]\nwindow = '1ms'\n[[bot]]\ninterface='a'\nsrc='any'".into(),
            "gomon.toml:4: interface \"a\": reading --step or",
        ),
        ("[[bot]]\ninterface = 'a*'\nsrc = '::1'".into(), "gomon.toml:3: src \"::1\": on several"),
        ("[[bot]]\ninterface = 'a/b'\nsrc = '::1'".into(), "gomon.toml:2: interface \"a/b\": not "),
        ("[[bot]]\ninterface = 'a[b'\nsrc = 'any'".into(), "gomon.toml:2: interface \"a[b\": not "),
        ("[[bot]]\ninterface = 1\nsrc = 'x'".into(), "gomon.toml:3: src \"x\": not an IP address"),
        ("[[bot]]\nsrc = '::1'".into(), "gomon.toml:1: bot: without interface: give one like"),
        ("[[bot]]\ninterface = 'a'".into(), "gomon.toml:1: bot: without src: give one like"),
        ("stagger = 1".into(), "gomon.toml:1: stagger \"1\": not a switch: give true or false"),
        ("[metrics]\nlisten = 'x'".into(), "gomon.toml:2: listen \"x\": not an address with a"),
        ("[metrics]\nlisten2 = 'x'".into(), "gomon.toml:2: listen2: unknown key: did you mean"),
        ("[control]\nsocket = 'x'".into(), "gomon.toml:2: socket \"x\": not an absolute path"),
        ("[defaults]\nwindow = 'x'".into(), "gomon.toml:2: window \"x\": not a length of time"),
        ("[defaults]\ninput = 'x'".into(), "gomon.toml:2: input: unknown key"),
    ] {
        let error = error(&text);
        assert!(error.starts_with(&format!("reading {expected}")), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn two_bots_share_an_interface_if_their_addresses_differ() {
    let text = "[[bot]]\ninterface='a'\nsrc='::1'\n[[bot]]\ninterface='a'\nsrc='::2'";
    assert_eq!(parse(text).unwrap().bots.len(), 2);
}
