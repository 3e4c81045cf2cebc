//! Draws growth: two plots side by side with logarithmic axes, so that linear growth is parallel to the dashed
//! line.

use std::fmt::Write as _;

use super::series::{STEPS, Series};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 60.0;
/// Colours of Okabe and Ito, which people with colour blindness can distinguish.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
/// Powers of ten on the vertical axis.
const DECADES: f64 = 4.0;

/// Returns the plots as SVG.
pub(super) fn svg(all: &[Series]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * (WIDTH + 1.5 * MARGIN),
        HEIGHT + 2.0 * MARGIN,
    );
    let time = |series: &Series| series.seconds.map(|seconds| seconds * 1e3);
    plot(&mut svg, MARGIN, "time, ms", 1.0, all, time);
    plot(&mut svg, WIDTH + 2.5 * MARGIN, "peak memory, MiB", 1.0, all, |series| series.mib);
    svg + "</svg>\n"
}

fn plot(
    svg: &mut String,
    left: f64,
    title: &str,
    least: f64,
    all: &[Series],
    values: impl Fn(&Series) -> [f64; 3],
) {
    let bottom = MARGIN + HEIGHT;
    let x = |times: f64| left + WIDTH * times.log10() / 2.0;
    let y = |value: f64| bottom - HEIGHT * (value / least).log10().clamp(0.0, DECADES) / DECADES;
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\" font-size=\"13\">{title}</text>\n\
         <rect x=\"{left}\" y=\"{MARGIN}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" \
         stroke=\"#999\"/>",
        MARGIN - 12.0,
    );
    for times in STEPS {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{times} n</text>",
            x(times.into()),
            bottom + 16.0,
        );
    }
    for value in [1.0, 10.0, 100.0, 1000.0, 10_000.0].map(|power| least * power) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{value}</text>\n\
             <path d=\"M{left} {:.0}h{WIDTH}\" stroke=\"#ddd\"/>",
            left - 6.0,
            y(value) + 4.0,
            y(value),
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{:.0} {:.0}L{:.0} {:.0}\" stroke=\"#999\" stroke-dasharray=\"4\"/>",
        x(1.0),
        y(least * 5.0),
        x(100.0),
        y(least * 500.0),
    );
    for (nth, (series, colour)) in all.iter().zip(COLOURS).enumerate() {
        let points: Vec<_> = STEPS
            .into_iter()
            .zip(values(series))
            .map(|(times, value)| format!("{:.1},{:.1}", x(times.into()), y(value)))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a few series")]
        let at = left - 30.0 + WIDTH / 3.4 * nth as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{at:.0}\" y=\"{:.0}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            bottom + 40.0,
            series.quantity,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_growth_is_parallel_to_the_dashed_line() {
        let series = Series { quantity: "bytes", seconds: [0.005, 0.05, 0.5], mib: [1.0; 3] };
        let svg = svg(&[series]);
        assert!(svg.contains("points=\"60.0,241.6 210.0,186.6 360.0,131.6\""), "{svg}");
        assert!(svg.contains("M60 242L360 132"), "{svg}");
    }
}
