//! The plots of a run, as SVG.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use sim::Trace;
use tcp::Time;

use crate::exit::Exit;
use crate::failure::Failure;

/// Pixels of one plot.
const SIZE: (u32, u32) = (960, 340);
/// Points of one line; more cannot be told apart.
const POINTS: usize = 2_000;
/// Flows that are drawn; the rest are in the table.
const FLOWS: usize = 12;

/// A plot and what it shows.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) caption: &'static str,
    pub(super) svg: String,
}

/// One line or cloud of a plot.
struct Series {
    color: RGBColor,
    points: Vec<(f64, f64)>,
    style: Style,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Style {
    Line,
    /// A value that holds until the next.
    Steps,
    Dots,
}

/// Every plot of a run that took so many seconds.
pub(super) fn all(trace: &Trace, seconds: f64) -> Result<Vec<Plot>, Failure> {
    let plots = [
        (
            "Time and sequence",
            "MB; the line is what was sent first, the thin one what is acknowledged, dots were sent again",
            sequence(trace),
        ),
        ("Congestion window", "KB", windows(trace)),
        ("Round-trip time", "ms, smoothed, as the sender sees it", round_trips(trace)),
        ("Queue", "KB that wait for the bottleneck", queue(trace)),
        ("Sent", "Mbit/s of payload, over a hundredth of the run", rates(trace, seconds)),
    ];
    plots
        .into_iter()
        .map(|(title, caption, series)| {
            let svg = draw(&series, seconds)
                .map_err(|e| Failure::new(Exit::File, format!("cannot draw '{title}': {e}")))?;
            Ok(Plot { title, caption, svg })
        })
        .collect()
}

/// The colour of a flow.
pub(super) fn color(flow: usize) -> RGBColor {
    // Okabe and Ito's, which colour-blind people can tell apart, without yellow on white.
    const COLORS: [(u8, u8, u8); 7] = [
        (0, 114, 178),
        (213, 94, 0),
        (0, 158, 115),
        (204, 121, 167),
        (86, 180, 233),
        (230, 159, 0),
        (0, 0, 0),
    ];
    let (red, green, blue) = COLORS[flow % COLORS.len()];
    RGBColor(red, green, blue)
}

fn seconds(at: Time) -> f64 {
    at.since(Time::ZERO).as_secs_f64()
}

fn flows(trace: &Trace) -> impl Iterator<Item = (RGBColor, &sim::FlowTrace)> {
    trace.flows.iter().take(FLOWS).enumerate().map(|(i, flow)| (color(i), flow))
}

fn sequence(trace: &Trace) -> Vec<Series> {
    let series = |(color, flow): (RGBColor, &sim::FlowTrace)| {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let sent = flow.segments.iter().filter(|s| !s.again).map(|s| (seconds(s.at), mb(s.end)));
        let again = flow.segments.iter().filter(|s| s.again).map(|s| (seconds(s.at), mb(s.end)));
        let acks = flow.acks.iter().map(|(at, ack)| (seconds(*at), mb(*ack)));
        let pale = RGBColor(color.0 / 2 + 127, color.1 / 2 + 127, color.2 / 2 + 127);
        [
            Series { color: pale, points: thin(acks.collect()), style: Style::Steps },
            Series { color, points: thin(sent.collect()), style: Style::Line },
            Series { color: RED, points: thin(again.collect()), style: Style::Dots },
        ]
    };
    flows(trace).flat_map(series).collect()
}

fn windows(trace: &Trace) -> Vec<Series> {
    let series = |(color, flow): (RGBColor, &sim::FlowTrace)| {
        let points = flow.samples.iter().map(|s| (seconds(s.at), s.cwnd as f64 / 1e3));
        Series { color, points: thin(points.collect()), style: Style::Steps }
    };
    flows(trace).map(series).collect()
}

fn round_trips(trace: &Trace) -> Vec<Series> {
    let series = |(color, flow): (RGBColor, &sim::FlowTrace)| {
        let points = flow.samples.iter().filter_map(|s| Some((seconds(s.at), s.srtt?.as_secs_f64() * 1e3)));
        Series { color, points: thin(points.collect()), style: Style::Steps }
    };
    flows(trace).map(series).collect()
}

fn queue(trace: &Trace) -> Vec<Series> {
    let points = trace.queues[0].iter().map(|(at, _, bytes)| (seconds(*at), *bytes as f64 / 1e3));
    vec![Series { color: color(0), points: thin(points.collect()), style: Style::Steps }]
}

fn rates(trace: &Trace, whole: f64) -> Vec<Series> {
    let bin = (whole / 100.0).max(1e-6);
    let series = |(color, flow): (RGBColor, &sim::FlowTrace)| {
        let mut bytes = [0.0_f64; 101];
        for s in &flow.segments {
            bytes[((seconds(s.at) / bin) as usize).min(100)] += (s.end - s.start) as f64;
        }
        let points = bytes.iter().enumerate().map(|(i, bytes)| (i as f64 * bin, bytes * 8e-6 / bin));
        Series { color, points: points.take(100).collect(), style: Style::Steps }
    };
    flows(trace).map(series).collect()
}

/// Keeps the shape of a line with fewer points: of each stretch of it the least and the greatest value.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points;
    }
    let stretch = points.len().div_ceil(POINTS / 2);
    let extremes = |part: &[(f64, f64)]| {
        let least = (0..part.len()).min_by(|&a, &b| part[a].1.total_cmp(&part[b].1)).unwrap_or(0);
        let most = (0..part.len()).max_by(|&a, &b| part[a].1.total_cmp(&part[b].1)).unwrap_or(0);
        [part[least.min(most)], part[least.max(most)]]
    };
    points.chunks(stretch).flat_map(extremes).collect()
}

fn draw(all: &[Series], whole: f64) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let top = all.iter().flat_map(|s| &s.points).map(|p| p.1).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.05 } else { 1.0 };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..whole.max(1e-6), 0.0..top)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc("seconds").draw()?;
        for series in all {
            line(&mut chart, series, whole)?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn line(
    chart: &mut Chart<'_, '_>,
    series: &Series,
    whole: f64,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let Series { color, points, style } = series;
    match style {
        Style::Dots => {
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 2, color.filled())))?;
        }
        Style::Line => {
            chart.draw_series(LineSeries::new(points.iter().copied(), color))?;
        }
        Style::Steps => {
            let ends =
                points.iter().skip(1).map(|p| p.0).chain([whole.max(points.last().map_or(0.0, |p| p.0))]);
            let steps = points.iter().zip(ends).flat_map(|(&(x, y), end)| [(x, y), (end, y)]);
            chart.draw_series(LineSeries::new(steps, color))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peaks_with_fewer_points() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[55_555].1 = 9.0;
        let thinned = thin(points);
        assert!(thinned.len() <= POINTS && thinned.contains(&(55_555.0, 9.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        let svg = draw(&[], 0.0).expect("drawn");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }
}
