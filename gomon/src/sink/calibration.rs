//! The output of a calibration: a log line for each window, and the recommended thresholds at the end.

use indicatif::HumanFloatCount;

use super::calendar;
use super::words::endpoint_name;
use crate::core::{Busiest, Calibration, Observation, WindowReport};

/// Logs one window of a calibration as `name=value` pairs.
pub fn log(report: &WindowReport, calibration: &Calibration) {
    let start = calendar(report.span.start);
    let figure = |name: &str, observation: &Observation| {
        let Observation { latest, maximum, .. } = observation;
        let mean = calibration.mean(observation);
        format!("{name}={latest:.4} {name}_mean={mean:.4} {name}_max={maximum:.4}")
    };
    let busiest = report.busiest.as_ref().map_or_else(
        || "none".to_owned(),
        |busiest| format!("{} busiest_packets={}", name(busiest), busiest.counts.packets),
    );
    log::info!(
        "calibration window={start} windows={} {} {} host_rate={:.4} {} {} busiest={busiest}",
        report.windows,
        figure("packet_rate", &calibration.packet_rate),
        figure("hosts", &calibration.hosts),
        report.rate(report.scanned_hosts.count),
        figure("ports", &calibration.ports),
        figure("busiest_rate", &calibration.busiest_rate),
    );
}

/// Returns the result of a calibration: a table of the figures, and the recommended thresholds.
pub(super) fn lines(calibration: &Calibration) -> Vec<String> {
    let Some(busiest) = &calibration.busiest else {
        return vec!["Recommended thresholds: none, because nothing was counted".to_owned()];
    };
    let packets = round_up(calibration.packet_threshold());
    let hosts = calibration.destination_threshold();
    let ports = calibration.port_threshold();
    let ports = ports.map_or(String::new(), |ports| format!("--port-threshold {ports}"));
    let row = |figure: &str, mean: &str, maximum: &str, flag: &str| {
        format!("  {figure:34} {mean:>14} {maximum:>14}  {flag}").trim_end().to_owned()
    };
    let figure = |name: &str, observation: &Observation, flag: &str| {
        let mean = HumanFloatCount(calibration.mean(observation)).to_string();
        row(name, &mean, &HumanFloatCount(observation.maximum).to_string(), flag)
    };
    vec![
        row("figure", "mean", "maximum", "recommended"),
        figure("packets/s", &calibration.packet_rate, ""),
        figure(
            "packets/s to the busiest host",
            &calibration.busiest_rate,
            &format!("--packet-threshold {packets}"),
        ),
        figure("hosts/window", &calibration.hosts, &format!("--destination-threshold {hosts}")),
        figure("ports/window of the host with most", &calibration.ports, &ports),
        format!(
            "Recommended thresholds (maxima seen): --packet-threshold {packets} (packets/s), \
             --destination-threshold {hosts} (hosts/window)"
        ),
        format!(
            "Busiest destination: {} ({:.4} packets/s, {} packets)",
            name(busiest),
            calibration.packet_threshold(),
            busiest.counts.packets,
        ),
    ]
}

/// Formats a rate with four decimals, rounded up so that the observed rate does not exceed it.
fn round_up(rate: f64) -> String {
    format!("{:.4}", (rate * 1e4).ceil() / 1e4)
}

/// Formats the busiest destination: its endpoint if it has a single one, otherwise the host.
fn name(busiest: &Busiest) -> String {
    busiest.endpoint.as_ref().map_or_else(|| busiest.host.to_string(), endpoint_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recommended_rate_is_never_less_than_the_observed_one() {
        assert_eq!([round_up(1.0 / 3.0), round_up(0.25)], ["0.3334", "0.2500"]);
    }
}
